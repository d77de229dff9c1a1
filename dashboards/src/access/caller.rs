//! Who asks: which tenants they may see, and what they may do.
//!
//! Tenants come from here and from nowhere else. Must never let a request tell a tenant that is not the caller's from one
//! that does not exist.

use std::{collections::BTreeSet, sync::Arc};

use super::ring::KeyRing;
use crate::api::problem::{Kind, Problem};

/// Something that a credential may allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Ask for what is stored, in any format.
    Read,
    /// Follow live streams.
    Live,
    /// See how the process is, and tap the event log.
    Operate,
}

impl Scope {
    /// All of them, by name.
    pub const ALL: [(&'static str, Self); 3] = [("read", Self::Read), ("live", Self::Live), ("operate", Self::Operate)];

    /// By its name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, scope)| *scope)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, scope)| *scope == self);
        found.expect("all are listed").0
    }
}

/// The tenants that a credential is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tenants {
    All,
    These(BTreeSet<String>),
}

/// What a credential allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    /// Whose requests are counted together; none: not counted.
    pub(crate) account: Option<String>,
    /// A name for people.
    pub(crate) name: String,
    pub(crate) tenants: Tenants,
    pub(crate) scopes: BTreeSet<Scope>,
    pub(crate) expires_ms: Option<i64>,
}

/// Whether a grant still holds while something takes long.
#[derive(Clone, Debug)]
enum Lease {
    /// As long as its time has not come.
    Expiry,
    /// As long as the key is known as good, too.
    Key(Arc<KeyRing>, String),
    /// As long as nobody has made a key.
    NoKeys(Arc<KeyRing>),
}

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    grant: Arc<Grant>,
    lease: Lease,
}

impl Caller {
    /// Whoever sits at this machine, where there are no credentials.
    pub(crate) fn local(ring: Arc<KeyRing>) -> Self {
        Self {
            grant: Arc::new(Grant {
                account: None,
                name: "this machine".to_owned(),
                tenants: Tenants::All,
                scopes: Scope::ALL.iter().map(|(_, scope)| *scope).collect(),
                expires_ms: None,
            }),
            lease: Lease::NoKeys(ring),
        }
    }

    /// Who has a key.
    pub(crate) fn with_key(grant: Arc<Grant>, ring: Arc<KeyRing>, id: String) -> Self {
        Self {
            grant,
            lease: Lease::Key(ring, id),
        }
    }

    /// Who has something that says by itself how long it holds.
    pub(crate) fn until_expiry(grant: Arc<Grant>) -> Self {
        Self {
            grant,
            lease: Lease::Expiry,
        }
    }

    /// What it asks.
    pub(crate) fn asks<'a>(&'a self, query: Option<&'a str>) -> Request<'a> {
        Request { caller: self, query }
    }

    /// Whose queries take turns with those of others: a tenant's, where it is for one.
    pub(crate) fn share(&self) -> &str {
        let account = self.grant.account.as_deref().unwrap_or_default();
        match &self.grant.tenants {
            Tenants::These(own) if own.len() == 1 => own.first().map_or(account, String::as_str),
            Tenants::These(_) | Tenants::All => account,
        }
    }

    /// The same where callers can be told apart; none where nobody has a credential.
    pub(crate) fn known_share(&self) -> Option<&str> {
        self.is_known().then(|| self.share())
    }

    pub(crate) fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Whether a credential was given.
    pub(crate) fn is_known(&self) -> bool {
        !matches!(self.lease, Lease::NoKeys(_))
    }

    /// Whether it holds at this time, in Unix milliseconds.
    pub(crate) fn holds(&self, now_ms: i64) -> bool {
        let is_good = match &self.lease {
            Lease::Expiry => true,
            Lease::Key(ring, id) => ring.is_good(id, now_ms),
            Lease::NoKeys(ring) => ring.has_none(),
        };
        is_good && self.grant.expires_ms.is_none_or(|expires_ms| now_ms < expires_ms)
    }

    /// # Errors
    /// When the credential does not allow it.
    pub(crate) fn check(&self, scope: Scope) -> Result<(), Problem> {
        match self.grant.scopes.contains(&scope) {
            true => Ok(()),
            false => Err(Problem::new(
                Kind::ScopeMissing,
                format!("this credential has not the scope `{}`", scope.name()),
            )),
        }
    }

    /// The tenant to be asked about, as queries have it: empty for all of them, which only who may see all can get.
    ///
    /// # Errors
    /// When it is not the caller's, in the words for one that does not exist; and when it has to be named.
    pub(crate) fn tenant(&self, asked: Option<String>) -> Result<String, Problem> {
        match (&self.grant.tenants, asked) {
            (Tenants::All, asked) => Ok(asked.unwrap_or_default()),
            (Tenants::These(own), Some(asked)) if own.contains(&asked) => Ok(asked),
            (Tenants::These(_), Some(_)) => Err(Problem::new(Kind::NotFound, "there is no such tenant")),
            (Tenants::These(own), None) => match own.first() {
                Some(only) if own.len() == 1 => Ok(only.clone()),
                _ => Err(Problem::parameter(
                    "tenant",
                    "`tenant` is missing: this credential is for several, which /api/v1/session names",
                )),
            },
        }
    }
}

/// What is asked, and by whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) query: Option<&'a str>,
}

impl Request<'_> {
    /// Whether the answer is a table for a program, which can wait.
    pub(crate) fn is_export(&self) -> bool {
        let pairs = url::form_urlencoded::parse(self.query.unwrap_or_default().as_bytes());
        pairs
            .into_iter()
            .any(|(name, value)| name == "format" && matches!(&*value, "csv" | "arrow"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(tenants: Tenants) -> Caller {
        Caller::until_expiry(Arc::new(Grant {
            account: None,
            name: String::new(),
            tenants,
            scopes: BTreeSet::from([Scope::Read]),
            expires_ms: Some(1_000),
        }))
    }

    fn these(names: &[&str]) -> Tenants {
        Tenants::These(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn a_credential_decides_which_tenant_is_asked_about() {
        let tenant = |tenants: Tenants, asked: Option<&str>| {
            let answer = caller(tenants).tenant(asked.map(str::to_owned));
            answer.map_err(|problem| problem.kind)
        };
        assert_eq!(tenant(Tenants::All, None), Ok(String::new()));
        assert_eq!(tenant(Tenants::All, Some("b")), Ok("b".to_owned()));
        assert_eq!(tenant(these(&["a"]), None), Ok("a".to_owned()));
        assert_eq!(tenant(these(&["a"]), Some("a")), Ok("a".to_owned()));
        assert_eq!(tenant(these(&["a", "b"]), Some("b")), Ok("b".to_owned()));
        // The empty text would mean all of them.
        for asked in ["b", "", "A"] {
            assert_eq!(tenant(these(&["a"]), Some(asked)), Err(Kind::NotFound), "{asked}");
        }
        assert_eq!(tenant(these(&["a", "b"]), None), Err(Kind::InvalidParameter));
        // A row that names no tenant is for none, and not for all.
        assert_eq!(tenant(these(&[]), None), Err(Kind::InvalidParameter));
    }

    #[test]
    fn what_is_not_allowed_and_what_is_over_is_refused() {
        let caller = caller(these(&["a"]));
        assert!(caller.check(Scope::Read).is_ok());
        assert_eq!(caller.check(Scope::Operate).unwrap_err().kind, Kind::ScopeMissing);
        assert!(caller.holds(999) && !caller.holds(1_000));
    }
}
