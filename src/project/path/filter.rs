//! Filters: `?` and what follows it, with the types of RFC 9535, 2.4 (what may be compared, what may be a test).

use jsonpath_rust::parser::model::{
    Comparable, Comparison, Filter, FilterAtom, FnArg, JpQuery, Literal, Segment, Selector, SingularQuery,
    SingularQuerySegment, Test, TestFunction,
};

use super::PathError;
use super::parse::{Parser, fail};

/// Longer signs before the shorter ones that they begin with.
const COMPARISONS: [&str; 6] = ["==", "!=", "<=", ">=", "<", ">"];

/// What stands on one side of a comparison, alone as a test, or as an argument; `at` is where it begins.
struct Operand {
    at: usize,
    kind: Kind,
}

enum Kind {
    Literal(Literal),
    Path { from_root: bool, segments: Vec<Segment>, padded: bool },
    Function(TestFunction),
}

/// What a function takes.
enum Takes {
    Value,
    Nodes,
}

impl Parser<'_> {
    /// `a && b || c && d`
    pub(super) fn any_of(&mut self) -> Result<Filter, PathError> {
        let mut alternatives = vec![self.all_of()?];
        while self.operator("||")? {
            alternatives.push(self.all_of()?);
        }
        Ok(single_or(alternatives, Filter::Or))
    }

    fn all_of(&mut self) -> Result<Filter, PathError> {
        let mut conditions = vec![Filter::Atom(self.condition()?)];
        while self.operator("&&")? {
            conditions.push(Filter::Atom(self.condition()?));
        }
        Ok(single_or(conditions, Filter::And))
    }

    /// Whether this operator comes next, with the blanks around it; half of it is an error.
    fn operator(&mut self, operator: &str) -> Result<bool, PathError> {
        self.blanks();
        if self.eat(operator) {
            self.blanks();
            return Ok(true);
        }
        match (self.peek(), operator.chars().next()) {
            (Some(found), Some(half)) if found == half => {
                Err(self.unexpected(&format!("expected '{operator}'")))
            }
            _ => Ok(false),
        }
    }

    fn condition(&mut self) -> Result<FilterAtom, PathError> {
        let not = self.eat("!");
        if not {
            self.blanks();
        }
        if self.peek() == Some('(') {
            let inner = self.nested(|parser| {
                parser.eat("(");
                parser.blanks();
                let inner = parser.any_of()?;
                parser.close("expected '&&', '||' or ')'")?;
                Ok(inner)
            })?;
            return Ok(FilterAtom::filter(inner, not));
        }
        let left = self.operand()?;
        self.blanks();
        let sign_at = self.at;
        let Some(sign) = COMPARISONS.into_iter().find(|sign| self.eat(sign)) else {
            if !matches!(self.peek(), None | Some(']' | ')' | ',' | '&' | '|')) {
                return Err(self.unexpected(
                    "expected a comparison (==, !=, <, <=, >, >=), '&&', '||' or the end of the filter",
                ));
            }
            return Ok(FilterAtom::test(left.test()?, not));
        };
        if not {
            return Err(fail(sign_at, "a comparison is negated in parentheses, as in !(@.a == 1)"));
        }
        let left = left.comparable()?;
        self.blanks();
        let right = self.operand()?.comparable()?;
        Ok(FilterAtom::cmp(Box::new(match sign {
            "==" => Comparison::Eq(left, right),
            "!=" => Comparison::Ne(left, right),
            "<=" => Comparison::Lte(left, right),
            ">=" => Comparison::Gte(left, right),
            "<" => Comparison::Lt(left, right),
            _ => Comparison::Gt(left, right),
        })))
    }

    fn operand(&mut self) -> Result<Operand, PathError> {
        let at = self.at;
        let kind = match self.peek() {
            Some('\'' | '"') => Kind::Literal(Literal::String(self.string()?)),
            Some('-' | '0'..='9') => Kind::Literal(self.number()?),
            Some('@' | '$') => self.inner_path()?,
            Some('a'..='z') => self.word()?,
            _ => return Err(self.unexpected("expected '@', '$', a literal or a function")),
        };
        Ok(Operand { at, kind })
    }

    fn inner_path(&mut self) -> Result<Kind, PathError> {
        let from_root = self.eat("$");
        if from_root {
            self.filter_uses_root = true;
        } else {
            self.eat("@");
        }
        let first = self.at;
        let outer = std::mem::take(&mut self.padded);
        let segments = self.segments()?;
        let padded = std::mem::replace(&mut self.padded, outer);
        if !from_root && segments.first().is_some_and(filters) {
            return Err(fail(first, "a filter directly on '@' is not supported: name a member first"));
        }
        Ok(Kind::Path { from_root, segments, padded })
    }

    fn number(&mut self) -> Result<Literal, PathError> {
        let start = self.at;
        self.integer()?;
        let whole = self.at;
        if self.eat(".") {
            self.digits()?;
        }
        if self.eat("e") || self.eat("E") {
            if !self.eat("-") {
                self.eat("+");
            }
            self.digits()?;
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        let literal = if self.at == whole {
            text.parse().ok().map(Literal::Int)
        } else {
            text.parse().ok().filter(|number: &f64| number.is_finite()).map(Literal::Float)
        };
        literal.ok_or_else(|| fail(start, "the number is too large"))
    }

    fn digits(&mut self) -> Result<(), PathError> {
        if self.take_while(|sign| sign.is_ascii_digit()).is_empty() {
            return Err(self.unexpected("expected a digit"));
        }
        Ok(())
    }

    fn word(&mut self) -> Result<Kind, PathError> {
        let start = self.at;
        let word = self.take_while(|sign| sign.is_ascii_lowercase() || sign.is_ascii_digit() || sign == '_');
        match word {
            "true" => return Ok(Kind::Literal(Literal::Bool(true))),
            "false" => return Ok(Kind::Literal(Literal::Bool(false))),
            "null" => return Ok(Kind::Literal(Literal::Null)),
            _ => {}
        }
        if self.peek() != Some('(') {
            return Err(
                self.unexpected(&format!("expected '(' after {word}, which is not true, false or null"))
            );
        }
        let function = match word {
            "length" => {
                let [a] = self.arguments(word, [Takes::Value])?;
                TestFunction::Length(Box::new(a))
            }
            "count" => {
                let [a] = self.arguments(word, [Takes::Nodes])?;
                TestFunction::Count(a)
            }
            "value" => {
                let [a] = self.arguments(word, [Takes::Nodes])?;
                TestFunction::Value(a)
            }
            "match" => {
                let [a, b] = self.arguments(word, [Takes::Value, Takes::Value])?;
                TestFunction::Match(a, b)
            }
            "search" => {
                let [a, b] = self.arguments(word, [Takes::Value, Takes::Value])?;
                TestFunction::Search(a, b)
            }
            _ => {
                let message = format!(
                    "there is no function {word}(): there are length, count, value, match and search"
                );
                return Err(fail(start, message));
            }
        };
        Ok(Kind::Function(function))
    }

    fn arguments<const N: usize>(&mut self, name: &str, takes: [Takes; N]) -> Result<[FnArg; N], PathError> {
        self.nested(|parser| {
            parser.eat("(");
            let mut arguments = Vec::with_capacity(N);
            for takes in takes {
                if !arguments.is_empty() && !parser.eat(",") {
                    return Err(parser.unexpected(&format!("expected ',' as {name}() takes {N} arguments")));
                }
                parser.blanks();
                arguments.push(parser.operand()?.argument(name, takes)?);
                parser.blanks();
            }
            parser.close(&format!("expected ')' after the last argument of {name}()"))?;
            let at = parser.at;
            arguments.try_into().map_err(|_| fail(at, format!("{name}() takes {N} arguments")))
        })
    }

    fn close(&mut self, allowed: &str) -> Result<(), PathError> {
        self.blanks();
        if self.eat(")") { Ok(()) } else { Err(self.unexpected(allowed)) }
    }
}

impl Operand {
    fn comparable(self) -> Result<Comparable, PathError> {
        let at = self.at;
        match self.kind {
            Kind::Literal(literal) => Ok(Comparable::Literal(literal)),
            Kind::Function(function) if gives_a_value(&function) => Ok(Comparable::Function(function)),
            Kind::Function(_) => Err(fail(at, "match() and search() are true or false and are not compared")),
            Kind::Path { padded: true, .. } => {
                Err(fail(at, "a path that is compared has no blanks inside its brackets"))
            }
            Kind::Path { from_root, segments, .. } => {
                let steps: Option<Vec<_>> = segments.into_iter().map(singular).collect();
                let steps = steps.ok_or_else(|| not_singular(at, "a path that is compared"))?;
                let query =
                    if from_root { SingularQuery::Root(steps) } else { SingularQuery::Current(steps) };
                Ok(Comparable::SingularQuery(query))
            }
        }
    }

    fn test(self) -> Result<Test, PathError> {
        match self.kind {
            Kind::Literal(_) => {
                Err(fail(self.at, "a literal alone is not a test: compare it with something"))
            }
            Kind::Function(function) if gives_a_value(&function) => {
                Err(fail(self.at, "length(), count() and value() give a value: compare it with something"))
            }
            Kind::Function(function) => Ok(Test::Function(Box::new(function))),
            Kind::Path { from_root, segments, .. } => Ok(existence(from_root, segments)),
        }
    }

    fn argument(self, function: &str, takes: Takes) -> Result<FnArg, PathError> {
        let at = self.at;
        match (self.kind, takes) {
            (Kind::Path { from_root, segments, .. }, Takes::Nodes) => {
                Ok(FnArg::Test(Box::new(existence(from_root, segments))))
            }
            (_, Takes::Nodes) => Err(fail(at, format!("{function}() takes a path"))),
            (Kind::Literal(literal), Takes::Value) => Ok(FnArg::Literal(literal)),
            (Kind::Path { from_root, segments, .. }, Takes::Value) => {
                if !segments.iter().all(super::is_singular) {
                    return Err(not_singular(at, &format!("a path given to {function}()")));
                }
                Ok(FnArg::Test(Box::new(existence(from_root, segments))))
            }
            (Kind::Function(inner), Takes::Value) if gives_a_value(&inner) => {
                Ok(FnArg::Test(Box::new(Test::Function(Box::new(inner)))))
            }
            (Kind::Function(_), Takes::Value) => Err(fail(
                at,
                format!("{function}() takes a value, and match() and search() are true or false"),
            )),
        }
    }
}

fn existence(from_root: bool, segments: Vec<Segment>) -> Test {
    if from_root { Test::AbsQuery(JpQuery::new(segments)) } else { Test::RelQuery(segments) }
}

fn singular(segment: Segment) -> Option<SingularQuerySegment> {
    match segment {
        Segment::Selector(Selector::Name(name)) => Some(SingularQuerySegment::Name(name)),
        Segment::Selector(Selector::Index(index)) => Some(SingularQuerySegment::Index(index)),
        _ => None,
    }
}

fn not_singular(at: usize, what: &str) -> PathError {
    fail(at, format!("{what} consists of names and indexes only: it must not match several values"))
}

fn gives_a_value(function: &TestFunction) -> bool {
    matches!(function, TestFunction::Length(_) | TestFunction::Count(_) | TestFunction::Value(_))
}

fn filters(segment: &Segment) -> bool {
    let is_filter = |selector: &Selector| matches!(selector, Selector::Filter(_));
    match segment {
        Segment::Descendant(inner) => filters(inner),
        Segment::Selector(selector) => is_filter(selector),
        Segment::Selectors(selectors) => selectors.iter().any(is_filter),
    }
}

fn single_or(mut parts: Vec<Filter>, join: fn(Vec<Filter>) -> Filter) -> Filter {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            join(parts)
        }
        None => join(parts),
    }
}
