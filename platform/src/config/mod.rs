//! Configuration: a commented default file that declares every key, then files, environment variables and options.
//!
//! This is the mechanism; which keys there are is not known here. Every value remembers where it comes from, every
//! fault names that place, and all faults are reported at once. Secrets are never printed.
//!
//! # The default file
//! It is plain TOML, so that it can be copied and used as it is. What is off by default stands in it as a comment with
//! a marker:
//!
//! ```toml
//! [serve]
//! listen = "127.0.0.1:8080"       # in force, and the example that tells the type
//!
//! #? [kafka]                      # a section that is absent until somebody gives one of its keys
//! #? brokers = "127.0.0.1:9092"   # a key without default: the value is an example
//! #= group = "meridian"           # the default as soon as its section (or array element) is there
//! #* [kafka.properties]           # free-form: any key, any text, number or boolean
//! ```
//!
//! Arrays of tables are replaced as a whole by a later source; environment variables reach into them by index.
//!
//! # Reading
//! [`Loader`] merges, [`Config::read`] hands the root [`Section`] to a function that builds typed settings, and returns
//! them only if nothing at all was wrong.

mod address;
mod definition;
mod effective;
mod fault;
mod field;
mod load;
mod merge;
mod secret;
mod section;
mod tree;

pub use address::{AddressError, HostPort, Url};
pub use definition::DefinitionError;
pub use fault::{ConfigFault, ConfigFaults};
pub use field::Field;
pub use load::{Config, ENVIRONMENT_PREFIX, Loader};
pub use secret::Secret;
pub use section::Section;
pub use tree::Origin;

#[cfg(test)]
mod tests;
