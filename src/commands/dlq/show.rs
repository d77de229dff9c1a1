//! `meridian dlq show`: all that is known of one letter, its bytes included.

use std::fmt::Write;

use clap::Args;
use clickhouse::Row;
use serde::Deserialize;

use super::letter::{COLUMNS, Letter, TABLES};
use crate::{cli::CommonOptions, commands::access::Access, failure::Failure, output, store::Store, when};

const EXAMPLES: &str = "\
Examples:
  meridian dlq show 5f1c9a2e-17
  meridian dlq show 5f1c9a2e-17 --format json";

/// Show one dead letter with its payload: as text if it is UTF-8, else as a dump of its bytes
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ShowOptions {
    /// Id of the letter, as `ls` shows it
    id: String,
    #[command(flatten)]
    access: Access,
}

#[derive(Debug, Row, Deserialize)]
struct Payload {
    hex: String,
}

/// Prints it.
///
/// # Errors
/// When ClickHouse cannot be asked, or there is no such letter.
pub(super) async fn run(options: &ShowOptions, common: &CommonOptions) -> Result<(), Failure> {
    let config = common.load()?;
    let store = Store::open(&config, options.access.data_dir.as_deref())?;
    let id = &options.id;
    let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE letter.id = {{id:String}}");
    let letters: Vec<Letter> = store.rows(store.query(&sql).param("id", id)).await?;
    let sql = "SELECT hex(payload) AS hex FROM dead_letters WHERE id = {id:String}";
    let payloads: Vec<Payload> = store.rows(store.query(sql).param("id", id)).await?;
    let (Some(letter), Some(payload)) = (letters.first(), payloads.first()) else {
        return Err(Failure::runtime(format!(
            "there is no dead letter `{id}`; `meridian dlq ls` shows those that are there"
        )));
    };
    let payload = bytes_of_hex(&payload.hex);
    if options.access.is_json(common) {
        let mut json = letter.to_json();
        match std::str::from_utf8(&payload) {
            Ok(text) => json["payload"] = text.into(),
            Err(_) => json["payload_hex"] = hex_of_bytes(&payload).into(),
        }
        return output::print(&format!("{json:#}\n"));
    }
    output::print(&describe(letter, &payload))
}

fn describe(letter: &Letter, payload: &[u8]) -> String {
    let mut rows = vec![
        ("id", letter.id.clone()),
        ("received", when::show(letter.received_at_ms)),
        ("stage", letter.stage.clone()),
        ("reason", letter.reason.clone()),
        ("detail", output::printable(&letter.detail)),
        ("broker", output::printable(&letter.broker)),
        ("topic", output::printable(&letter.topic)),
        (
            "log",
            format!("partition {} offset {}", letter.partition, letter.offset),
        ),
        ("state", letter.state().to_owned()),
    ];
    if letter.replayed_at_ms != 0 {
        rows.push(("replayed", when::show(letter.replayed_at_ms)));
    }
    if !letter.replay_of.is_empty() {
        let number = letter.replay_count;
        rows.push(("replay of", format!("{} (number {number})", letter.replay_of)));
        rows.push(("first received", when::show(letter.first_received_at_ms)));
    }
    rows.push(("payload", format!("{} bytes", payload.len())));
    let mut text = output::table(&rows);
    text.push('\n');
    match std::str::from_utf8(payload) {
        Ok(payload) => writeln!(text, "{}", output::printable_lines(payload)).expect("writing to memory"),
        Err(_) => dump(payload, &mut text),
    }
    text
}

/// Offset, sixteen bytes, and what of them is printable.
fn dump(bytes: &[u8], text: &mut String) {
    for (index, line) in bytes.chunks(16).enumerate() {
        let hex: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        let shown: String = line
            .iter()
            .map(|byte| match byte {
                b' '..=b'~' => char::from(*byte),
                _ => '.',
            })
            .collect();
        writeln!(text, "{:08x}  {:<47}  {shown}", index * 16, hex.join(" ")).expect("writing to memory");
    }
}

/// The bytes of what the server's `hex` gave.
pub(super) fn bytes_of_hex(hex: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0) as u8;
    hex.as_bytes()
        .chunks_exact(2)
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect()
}

fn hex_of_bytes(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_dumped_with_what_is_printable() {
        let mut text = String::new();
        dump(b"\xffab\x00 0123456789abcdef", &mut text);
        assert_eq!(
            text,
            "00000000  ff 61 62 00 20 30 31 32 33 34 35 36 37 38 39 61  .ab. 0123456789a\n\
             00000010  62 63 64 65 66                                   bcdef\n"
        );
    }

    #[test]
    fn hex_is_read_back() {
        assert_eq!(bytes_of_hex("00FF7a"), [0, 255, 0x7a]);
        assert_eq!(hex_of_bytes(&[0, 255, 0x7a]), "00ff7a");
    }
}
