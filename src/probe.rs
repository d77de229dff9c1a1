//! Asks a backing service whether it is there, for `validate --connect`. Changes nothing and leaves nothing behind.

use ingest::{BrokerSettings, source::address::BrokerAddress};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::limits::PROBE_MAX;

/// Whether somebody listens there.
///
/// # Errors
/// What went wrong.
pub(crate) async fn port(address: &str) -> Result<(), String> {
    connect(address).await.map(drop)
}

async fn connect(address: &str) -> Result<TcpStream, String> {
    match timeout(PROBE_MAX, TcpStream::connect(address)).await {
        Ok(connected) => connected.map_err(|error| format!("{error}; check the address, and that it runs")),
        Err(_elapsed) => {
            Err("does not answer; check the address, and that nothing in between swallows packets".to_owned())
        }
    }
}

/// Whether the broker lets us in. Over TLS only the port is tried: certificates are checked by ingest.
///
/// # Errors
/// What went wrong.
pub(crate) async fn mqtt(broker: &BrokerSettings) -> Result<(), String> {
    let address = BrokerAddress::parse(&broker.url).map_err(|error| error.to_string())?;
    let mut stream = connect(&format!("{}:{}", address.host, address.port)).await?;
    if address.tls {
        return Ok(());
    }
    let asked = async {
        stream.write_all(&connect_packet(broker)).await?;
        // Fixed header, flags, return code: the same in both versions up to there, but for the length of properties.
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    match timeout(PROBE_MAX, asked).await {
        Err(_elapsed) => Err("accepts connections and says nothing; is it an MQTT broker?".to_owned()),
        Ok(Err(error)) => Err(format!("broke the connection ({error}); is it an MQTT broker?")),
        Ok(Ok([0x20, _, _, 0])) => Ok(()),
        Ok(Ok([0x20, _, _, code])) => Err(format!(
            "refuses us with code {code}; check `username` and `password_file`"
        )),
        Ok(Ok(_)) => Err("answers with something else than MQTT".to_owned()),
    }
}

/// A CONNECT packet of MQTT 3.1.1, which brokers of both versions take: a session of its own that ends at once.
fn connect_packet(broker: &BrokerSettings) -> Vec<u8> {
    const USERNAME: u8 = 0x80;
    const PASSWORD: u8 = 0x40;
    const CLEAN_SESSION: u8 = 0x02;
    let client_id = format!("meridian-validate-{}", std::process::id());
    let mut flags = CLEAN_SESSION;
    let mut fields = vec![client_id.as_str()];
    if let Some(username) = &broker.username {
        flags |= USERNAME;
        fields.push(username);
    }
    if let Some(password) = &broker.password {
        flags |= PASSWORD;
        fields.push(password);
    }
    let mut body = b"\0\x04MQTT\x04".to_vec();
    body.push(flags);
    // Keep-alive in seconds.
    body.extend(30_u16.to_be_bytes());
    for field in fields {
        // Longer ones cannot be said in MQTT; the broker then refuses what is left.
        let bytes = &field.as_bytes()[..field.len().min(usize::from(u16::MAX))];
        body.extend(u16::try_from(bytes.len()).expect("it was cut").to_be_bytes());
        body.extend(bytes);
    }
    let mut packet = vec![0x10];
    let mut rest = body.len();
    loop {
        let low = u8::try_from(rest % 128).expect("a remainder of 128");
        rest /= 128;
        packet.push(if rest > 0 { low | 0x80 } else { low });
        if rest == 0 {
            break;
        }
    }
    packet.extend(body);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packet_carries_what_the_broker_asks_for() {
        let mut broker = BrokerSettings::new("edge", "mqtt://edge");
        broker.username = Some("user".to_owned());
        broker.password = Some("word".to_owned());
        let packet = connect_packet(&broker);
        assert_eq!(packet[0], 0x10);
        assert_eq!(usize::from(packet[1]), packet.len() - 2);
        assert_eq!(&packet[2..10], b"\0\x04MQTT\x04\xc2");
        assert!(packet.ends_with(b"\0\x04user\0\x04word"));
    }
}
