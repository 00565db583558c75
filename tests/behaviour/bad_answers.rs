//! An upstream that answers what it should not. What can be passed on is, byte for byte; nothing of it is kept; and it
//! takes no more memory or time than is configured.

mod heads;
mod huge;
mod pages;
mod scripted;
