//! Writes the fields of one item from what was captured of it.

use jsonpath_rust::query::js_path_process;
use serde_json::Value;

use super::plan::{Alternative, Output, Search, Slots, Wanted};
use super::text::Text;
use super::{ProjectError, SearchError};

/// How deep a value may nest that is copied: what is passed on can be read by every client.
const MAX_DEPTH: usize = 128;

/// What stops a value from being written; the caller knows of which item and field.
pub(super) enum Fault {
    TooDeep,
    Search { path: String, source: SearchError },
}

impl Fault {
    pub(super) fn at(self, item: usize, field: &str) -> ProjectError {
        let field = field.to_owned();
        match self {
            Fault::TooDeep => ProjectError::TooDeep { item, field, limit: MAX_DEPTH },
            Fault::Search { path, source } => ProjectError::Search { item, field, path, source },
        }
    }
}

impl Output {
    /// Whether there was something to write; if not, the text is as it was.
    pub(super) fn write(&self, slots: &Slots<'_>, text: &mut Text, comma: bool) -> Result<bool, Fault> {
        let start = text.len();
        if comma {
            text.push(b",");
        }
        text.push(self.label.as_bytes());
        let written = self.value.write(slots, text)?;
        if !written {
            text.truncate(start);
        }
        Ok(written)
    }
}

impl Wanted {
    fn write(&self, slots: &Slots<'_>, text: &mut Text) -> Result<bool, Fault> {
        match self {
            Wanted::First(alternatives) => {
                for alternative in alternatives {
                    if alternative.write(slots, text)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Wanted::Object(fields) => {
                text.push(b"{");
                let mut any = false;
                for field in fields {
                    any |= field.write(slots, text, any)?;
                }
                text.push(b"}");
                Ok(any)
            }
        }
    }
}

impl Alternative {
    /// Whether the path matched; if not, the text is as it was.
    pub(super) fn write(&self, slots: &Slots<'_>, text: &mut Text) -> Result<bool, Fault> {
        let Some(value) = slots.get(self.slot).copied().flatten() else {
            return Ok(false);
        };
        if let Some(search) = &self.search {
            let failed = |source| Fault::Search { path: search.path.clone(), source };
            return search.write(value, text).map_err(failed);
        }
        if nests_deeper(value, MAX_DEPTH) {
            return Err(Fault::TooDeep);
        }
        text.push(value.as_bytes());
        Ok(true)
    }
}

impl Search {
    /// One match is written as it is, several as an array.
    fn write(&self, value: &str, text: &mut Text) -> Result<bool, SearchError> {
        let value: Value = serde_json::from_str(value).map_err(SearchError::Read)?;
        let found = js_path_process(&self.query, &value).map_err(|_| SearchError::NoNode)?;
        match found.as_slice() {
            [] => return Ok(false),
            [only] => serde_json::to_writer(text, only.val).map_err(SearchError::Read)?,
            several => {
                let mut before: &[u8] = b"[";
                for one in several {
                    text.push(before);
                    serde_json::to_writer(&mut *text, one.val).map_err(SearchError::Read)?;
                    before = b",";
                }
                text.push(b"]");
            }
        }
        Ok(true)
    }
}

/// Whether valid JSON has more levels of brackets than this.
fn nests_deeper(json: &str, limit: usize) -> bool {
    if !json.starts_with(['{', '[']) {
        return false;
    }
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}
