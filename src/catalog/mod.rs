//! Source name -> table provider. The catalog knows files and schemas; it knows neither feature
//! sets nor targets.

mod csv;
mod files;
mod footer;
mod order;
mod pages;
mod part;
mod periods;
mod prune;
mod schema;
mod source;
mod splits;

pub use schema::{Keys, standard};
pub use source::{LeftOut, PeriodRows, Source};
pub use splits::splits;
