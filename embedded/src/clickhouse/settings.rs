//! Settings and database of one request, put on a session of the engine and, where it lives on, taken off again.

use super::{
    fault::Fault,
    library::{BoundStatement, Connection},
    request::Ask,
};
use crate::limits;

/// Asks for the statements that would bring settings back to what they are now, one per line.
const RESTORING_STATEMENTS: &str = r"SELECT format('SET {} = {}', name, if(changed,
    concat('\'', replaceAll(replaceAll(value, '\\', '\\\\'), '\'', '\\\''), '\''), 'DEFAULT'))
    FROM system.settings WHERE name IN";

/// What a request changed on a session that other requests will use.
pub(super) struct SettingsScope {
    restore: Vec<String>,
}

impl SettingsScope {
    /// For a session that ends with the request. `bounded`: the result will be held in memory.
    pub(super) fn enter(connection: &mut Connection, ask: &Ask, bounded: bool) -> Result<(), Fault> {
        if let Some(database) = &ask.database {
            run(connection, &format!("USE {}", quote_name(database)))?;
        }
        let mut settings = settings(ask, bounded);
        if ask.read_only && !settings.iter().any(|(name, _)| name == "readonly") {
            settings.push(("readonly".to_owned(), "2".to_owned()));
        }
        set(connection, &settings)
    }

    /// For a session that lives on. `readonly` cannot be taken off again, so the caller keeps to it by other means.
    pub(super) fn enter_session(connection: &mut Connection, ask: &Ask, bounded: bool) -> Result<Self, Fault> {
        let mut restore = Vec::new();
        if let Some(database) = &ask.database {
            let current = run(connection, "SELECT currentDatabase()")?;
            restore.push(format!("USE {}", quote_name(current.trim_end_matches('\n'))));
            run(connection, &format!("USE {}", quote_name(database)))?;
        }
        let mut settings = settings(ask, bounded);
        settings.retain(|(name, _)| name != "readonly");
        if !settings.is_empty() {
            let names: Vec<String> = settings.iter().map(|(name, _)| quote_text(name)).collect();
            let before = run(connection, &format!("{RESTORING_STATEMENTS} ({})", names.join(", ")))?;
            restore.extend(before.lines().map(str::to_owned));
        }
        let scope = Self { restore };
        match set(connection, &settings) {
            Ok(()) => Ok(scope),
            Err(fault) => {
                scope.leave(connection)?;
                Err(fault)
            }
        }
    }

    /// Puts everything back.
    pub(super) fn leave(self, connection: &mut Connection) -> Result<(), Fault> {
        self.restore
            .iter()
            .try_for_each(|statement| run(connection, statement).map(|_| ()))
    }
}

fn settings(ask: &Ask, bounded: bool) -> Vec<(String, String)> {
    let mut settings = ask.settings.clone();
    if bounded && !settings.iter().any(|(name, _)| name == "max_result_bytes") {
        settings.push((
            "max_result_bytes".to_owned(),
            limits::WHOLE_RESULT_BYTES_MAX.to_string(),
        ));
    }
    settings
}

fn set(connection: &mut Connection, settings: &[(String, String)]) -> Result<(), Fault> {
    if settings.is_empty() {
        return Ok(());
    }
    let changes: Vec<String> = settings
        .iter()
        .map(|(name, value)| format!("{} = {}", quote_name(name), quote_text(value)))
        .collect();
    run(connection, &format!("SET {}", changes.join(", "))).map(|_| ())
}

fn run(connection: &mut Connection, statement: &str) -> Result<String, Fault> {
    let statement = BoundStatement {
        text: statement.as_bytes(),
        format: "TabSeparatedRaw",
        parameters: &[],
    };
    let answer = connection.query(statement).map_err(Fault::from_engine)?;
    Ok(String::from_utf8_lossy(answer.bytes()).into_owned())
}

fn quote_name(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

fn quote_text(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
