//! Everything that is wrong with a configuration, each problem at its place.
//!
//! A text that is shown has its secrets masked first, so a report may go to a log.

mod mask;
mod quoted;

use std::{fmt, ops::Range};

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

/// A text and what it is called: a file's path, a profile, a flag or a variable.
#[derive(Clone)]
pub struct Source {
    /// The name that stands before line and column.
    pub name: String,
    /// The text itself. It may hold a secret, so it has no `Debug`.
    pub text: String,
}

impl fmt::Debug for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Source({})", self.name)
    }
}

/// Something that the operator should know and that does not keep the proxy from starting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning(pub(super) String);

impl fmt::Display for Warning {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Why a parser refused a text.
pub(crate) struct Fault {
    /// The byte at which the text goes wrong; `None`: all of it.
    offset: Option<usize>,
    message: String,
    help: Option<String>,
}

impl Fault {
    /// The whole text is wrong.
    pub(super) fn whole(message: impl Into<String>) -> Self {
        Self { offset: None, message: message.into(), help: None }
    }

    /// The text goes wrong at this byte.
    pub(super) fn at(offset: usize, message: impl Into<String>) -> Self {
        Self { offset: Some(offset), message: message.into(), help: None }
    }

    /// Adds a line that says what to do.
    pub(super) fn help(self, help: Option<String>) -> Self {
        Self { help, ..self }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

/// The bytes of one of the sources.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    source: usize,
    start: usize,
    end: usize,
}

/// A value, its full name (`store.budget`, `--listen`), and where it stands.
pub(super) struct At<T> {
    /// As it is called in messages.
    pub(super) key: String,
    /// What stands there.
    pub(super) value: T,
    /// Where.
    pub(super) place: Place,
}

/// A string of the file, or all of another source.
pub(super) type Text = At<String>;

#[derive(Clone)]
struct Problem {
    title: String,
    label: String,
    help: Option<String>,
    place: Option<Place>,
}

/// The text with a star for each byte of user and password of a URL.
#[must_use]
pub fn masked(text: &str) -> String {
    mask::hide(text, std::iter::empty())
}

/// Collects what is wrong while a check goes on.
pub(super) struct Problems {
    /// The file first; after it what overrides it.
    sources: Vec<Source>,
    found: Vec<Problem>,
    ill_formed: Vec<Problem>,
    secrets: Vec<Place>,
    warnings: Vec<Warning>,
    /// Keys that are there with a value of another type: they are not missing as well.
    mistyped: Vec<String>,
}

impl Problems {
    /// Begins with a file and no problem.
    pub(super) fn new(file: Source) -> Self {
        Self {
            sources: vec![file],
            found: Vec::new(),
            ill_formed: Vec::new(),
            secrets: Vec::new(),
            warnings: Vec::new(),
            mistyped: Vec::new(),
        }
    }

    /// A place in the file.
    pub(super) fn in_file(span: Range<usize>) -> Place {
        Place { source: 0, start: span.start, end: span.end }
    }

    /// Takes up a value from outside of the file, under the name by which it was given.
    pub(super) fn outside(&mut self, name: String, value: String) -> Text {
        let place = Place { source: self.sources.len(), start: 0, end: value.len() };
        self.sources.push(Source { name: name.clone(), text: value.clone() });
        At { key: name, value, place }
    }

    /// Never shows what stands here.
    pub(super) fn hide(&mut self, place: &Place) {
        self.secrets.push(place.clone());
    }

    /// Notes a problem: what is wrong above the picture, and a word at the caret.
    pub(super) fn add(&mut self, place: &Place, title: impl Into<String>, label: impl Into<String>) {
        self.add_with_help(place, title, label, None);
    }

    /// [`Problems::add`] with a line below the picture that says what to do.
    pub(super) fn add_with_help(
        &mut self,
        place: &Place,
        title: impl Into<String>,
        label: impl Into<String>,
        help: Option<String>,
    ) {
        let place = Some(place.clone());
        self.found.push(Problem { title: title.into(), label: label.into(), help, place });
    }

    /// Notes that a key has a value of another type.
    pub(super) fn mistyped(&mut self, key: &str, place: &Place, what: &str, label: String) {
        self.add(place, format!("`{key}` is not {what}"), label);
        self.mistyped.push(key.to_owned());
    }

    /// Notes a key that should stand in the file, in the table whose header is at `place`, and does not.
    pub(super) fn missing(&mut self, key: &str, place: Option<&Place>, help: &str) {
        if !self.mistyped.iter().any(|mistyped| mistyped == key) {
            let (label, help) = ("not in here".to_owned(), Some(help.to_owned()));
            self.found.push(Problem {
                title: format!("`{key}` is missing"),
                label,
                help,
                place: place.cloned(),
            });
        }
    }

    /// The value that `parser` makes of the text; where it makes none, the problem "is not `what`".
    pub(super) fn parse<T>(
        &mut self,
        text: &Text,
        what: &str,
        parser: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Option<T> {
        parser(&text.value).map_err(|fault| self.refuse(text, what, fault)).ok()
    }

    fn refuse(&mut self, text: &Text, what: &str, fault: Fault) {
        let place = fault.offset.map_or_else(|| text.place.clone(), |offset| self.character(text, offset));
        self.add_with_help(&place, format!("`{}` is not {what}", text.key), fault.message, fault.help);
    }

    /// The character at this byte of the value, also where the file spells the value with escapes.
    fn character(&self, text: &Text, offset: usize) -> Place {
        let Place { source, start, end } = text.place;
        let whole = self.sources.get(source).map_or("", |source| &source.text);
        let raw = whole.get(start..end).unwrap_or("");
        let at = start + if source == 0 { quoted::locate(raw, offset) } else { offset.min(raw.len()) };
        let width = whole.get(at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
        Place { source, start: at, end: at + width }
    }

    /// Notes something that does not keep the proxy from starting.
    pub(super) fn warn(&mut self, place: Option<&Place>, message: impl fmt::Display) {
        let warning = match place.and_then(|place| Some((self.sources.get(place.source)?, place.start))) {
            Some((source, start)) if place.is_some_and(|place| place.source == 0) => {
                let line = source.text.bytes().take(start).filter(|byte| *byte == b'\n').count() + 1;
                format!("{}:{line}: {message}", source.name)
            }
            _ => message.to_string(),
        };
        self.warnings.push(Warning(warning));
    }

    /// Notes that the file is not TOML here.
    pub(super) fn ill_formed(&mut self, span: Range<usize>, message: &str) {
        let place = Some(Self::in_file(span));
        let (title, label) = ("this is not TOML".to_owned(), message.to_owned());
        self.ill_formed.push(Problem { title, label, help: None, place });
    }

    /// Takes back what an ill-formed file only seems to lack or to mean: a problem without a place, and one on
    /// a line that is itself ill-formed.
    fn take_back_what_is_not_sure(&mut self) {
        let text = self.sources.first().map_or("", |file| &file.text);
        let line = |offset: usize| text.bytes().take(offset).filter(|byte| *byte == b'\n').count();
        let spans = self.ill_formed.iter().filter_map(|problem| problem.place.as_ref());
        let lines: Vec<_> = spans.map(|place| line(place.start)..=line(place.end)).collect();
        self.found.retain(|problem| match &problem.place {
            Some(place) => place.source != 0 || !lines.iter().any(|lines| lines.contains(&line(place.start))),
            None => lines.is_empty(),
        });
    }

    /// The text of the file.
    pub(super) fn file(&self) -> String {
        self.sources.first().map_or_else(String::new, |file| file.text.clone())
    }

    /// The value with the warnings if nothing was wrong, and the report of all problems otherwise.
    pub(super) fn finish<T>(self, value: Option<T>) -> Result<(T, Vec<Warning>), Report> {
        match value {
            Some(value) if self.found.is_empty() && self.ill_formed.is_empty() => Ok((value, self.warnings)),
            _ => Err(self.into_report()),
        }
    }

    fn into_report(mut self) -> Report {
        self.take_back_what_is_not_sure();
        let mut problems = self.found;
        problems.extend(self.ill_formed);
        problems.sort_by(|a, b| (a.place.is_none(), &a.place).cmp(&(b.place.is_none(), &b.place)));
        let masked = |(index, source): (usize, Source)| {
            let secrets = self.secrets.iter().filter(|place| place.source == index);
            let text = mask::hide(&source.text, secrets.map(|place| place.start..place.end));
            Source { text, ..source }
        };
        let sources = self.sources.into_iter().enumerate().map(masked).collect();
        Report { sources, problems, colour: false }
    }
}

/// All problems of a configuration. `Display` draws each where it stands, secrets masked.
pub struct Report {
    sources: Vec<Source>,
    problems: Vec<Problem>,
    colour: bool,
}

impl Report {
    /// A single problem that stands in no text, such as a file that cannot be read.
    #[must_use]
    pub fn of(title: String, help: Option<String>) -> Self {
        let problem = Problem { title, label: String::new(), help, place: None };
        Self { sources: Vec::new(), problems: vec![problem], colour: false }
    }

    /// Draws with colours from now on, or without.
    #[must_use]
    pub fn coloured(self, colour: bool) -> Self {
        Self { colour, ..self }
    }

    /// How many problems there are; never 0.
    #[must_use]
    pub fn count(&self) -> usize {
        self.problems.len()
    }

    fn draw(&self, problem: &Problem) -> String {
        // Whatever was given in the wrong place may be quoted here.
        let (title, label) = (masked(&problem.title), masked(&problem.label));
        let help = problem.help.as_deref().map(masked);
        let mut group = Group::with_title(Level::ERROR.primary_title(title.as_str()));
        let source = |index: usize| self.sources.get(index);
        match &problem.place {
            Some(place) => {
                if let Some(source) = source(place.source) {
                    let mark = AnnotationKind::Primary.span(place.start..place.end).label(label.as_str());
                    let snippet = Snippet::source(source.text.as_str()).path(source.name.as_str());
                    group = group.element(snippet.annotation(mark));
                }
            }
            None => {
                if let Some(file) = source(0) {
                    group = group.element(Origin::path(file.name.as_str()));
                }
            }
        }
        if let Some(help) = &help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let renderer = if self.colour { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group])
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let gap = if index == 0 { "" } else { "\n\n" };
            write!(out, "{gap}{}", self.draw(problem))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl std::error::Error for Report {}
