//! Whatever is not a configured read goes upstream and back untouched.
