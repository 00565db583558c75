//! The configurations that come with the program: files of `config/`, embedded.

use super::report::Source;

/// A configuration that comes with the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Profile {
    /// For the panels of the catalog UI: the fields that they show, past catalogs left out
    Panels,
    /// For the catalog UI and the SDKs: all fields that their strict models demand, past catalogs kept
    CatalogUi,
    /// For `catproxy demo`: everything in one process
    #[value(skip)]
    Demo,
}

impl Profile {
    /// As the command line spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Panels => "panels",
            Self::CatalogUi => "catalog-ui",
            Self::Demo => "demo",
        }
    }

    /// The file.
    #[must_use]
    pub fn source(self) -> Source {
        let text = match self {
            Self::Panels => include_str!("../../config/panels.toml"),
            Self::CatalogUi => include_str!("../../config/catalog-ui.toml"),
            Self::Demo => include_str!("../../config/demo.toml"),
        };
        Source { name: self.name().to_owned(), text: text.to_owned() }
    }
}
