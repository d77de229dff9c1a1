//! What a command answers, on standard output. Log lines never come here.

use std::io::{ErrorKind, Write};

use crate::failure::Failure;

/// Writes text as it is.
///
/// # Errors
/// When it cannot be written. A reader that went away (`| head`) has seen enough, which is no failure.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut output = std::io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::runtime(format!("cannot write to standard output: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Rows of two columns, the first as wide as its longest entry.
pub(crate) fn table(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter()
        .map(|(name, value)| format!("  {name:width$}  {value}\n"))
        .collect()
}
