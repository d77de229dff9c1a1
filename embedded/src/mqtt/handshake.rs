//! The first packet of a connection, which says what the rest of it speaks.

use super::codec::Version;

/// What the first bytes of a connection are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Greeting {
    /// Too few to tell.
    Incomplete,
    /// A CONNECT packet of this version.
    Connect(Version),
    /// A CONNECT packet of a version that is not spoken here.
    OtherVersion,
    /// Not MQTT.
    Foreign,
}

/// Looks at the version in a CONNECT packet: after the fixed header come the length and name of the protocol.
pub(super) fn greeting(bytes: &[u8]) -> Greeting {
    let Some((&kind, rest)) = bytes.split_first() else {
        return Greeting::Incomplete;
    };
    if kind != 0x10 {
        return Greeting::Foreign;
    }
    let length_bytes = rest.iter().take(4).take_while(|byte| **byte >= 0x80).count() + 1;
    if length_bytes > 4 {
        return Greeting::Foreign;
    }
    let Some(header) = rest.get(length_bytes..) else {
        return Greeting::Incomplete;
    };
    let matches = |name: &[u8]| header.iter().zip(name).all(|(left, right)| left == right);
    match header {
        [0, 4, b'M', b'Q', b'T', b'T', 4, ..] => Greeting::Connect(Version::V4),
        [0, 4, b'M', b'Q', b'T', b'T', 5, ..] => Greeting::Connect(Version::V5),
        _ if header.len() < 7 && matches(b"\0\x04MQTT") => Greeting::Incomplete,
        _ if matches(b"\0\x04MQTT") || matches(b"\0\x06MQIsdp") => Greeting::OtherVersion,
        _ => Greeting::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use super::{Greeting, Version, greeting};

    #[test]
    fn the_version_is_in_the_first_packet() {
        assert_eq!(
            greeting(b"\x10\x0c\0\x04MQTT\x04\x02\0\0"),
            Greeting::Connect(Version::V4)
        );
        assert_eq!(greeting(b"\x10\x80\x01\0\x04MQTT\x05"), Greeting::Connect(Version::V5));
        assert_eq!(greeting(b"\x10\x0e\0\x06MQIsdp\x03"), Greeting::OtherVersion);
        assert_eq!(greeting(b"\x10\x0c\0\x04MQTT\x09"), Greeting::OtherVersion);
        assert_eq!(greeting(b"GET / HTTP/1.1\r\n"), Greeting::Foreign);
        assert_eq!(greeting(b"\x10\xff\xff\xff\xff\x01"), Greeting::Foreign);
        let connect = b"\x10\x80\x01\0\x04MQTT\x05";
        for length in 0..connect.len() {
            assert_eq!(greeting(&connect[..length]), Greeting::Incomplete, "{length} bytes");
        }
    }
}
