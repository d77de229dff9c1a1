//! How fast a log takes and gives records of 200 bytes. Run with `--release`:
//! `throughput embedded FOLDER [SECONDS]` or `throughput kafka HOST:PORT [SECONDS]`.

use std::time::{Duration, Instant};

use bytes::Bytes;
use eventlog::{
    ConsumerEvent, EmbeddedConfig, Headers, KafkaConfig, Log, LogConfig, Message, ProducerLimits, SendError,
    Subscription, Token, TopicSpec,
};

const PARTITIONS: u16 = 4;
const KEYS: u64 = 1000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, kind, address, rest @ ..] = &arguments[..] else {
        return Err("say `embedded FOLDER` or `kafka HOST:PORT`".into());
    };
    let seconds = rest.first().map_or(Ok(10), |text| text.parse())?;
    let config = match &**kind {
        "embedded" => LogConfig::Embedded(EmbeddedConfig::new(address)),
        "kafka" => LogConfig::Kafka(KafkaConfig {
            brokers: address.clone(),
            ..KafkaConfig::default()
        }),
        other => return Err(format!("`{other}` is neither `embedded` nor `kafka`").into()),
    };
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(measure(config, Duration::from_secs(seconds)))
}

async fn measure(config: LogConfig, duration: Duration) -> Result<(), Box<dyn std::error::Error>> {
    let log = Log::open(config)?;
    let topic = format!("throughput-{}", std::process::id());
    log.ensure_topics(&[TopicSpec::new(&topic, PARTITIONS)]).await?;
    let count = write(&log, &topic, duration).await?;
    read(&log, &topic, count).await
}

async fn write(log: &Log, topic: &str, duration: Duration) -> Result<u64, Box<dyn std::error::Error>> {
    let (producer, mut deliveries) = log.producer(ProducerLimits::default())?;
    let keys: Vec<Bytes> = (0..KEYS)
        .map(|key| Bytes::from(format!("tenant/device-{key}")))
        .collect();
    let values: Vec<Bytes> = (0..KEYS)
        .map(|key| Bytes::from(format!("{{\"seq\":{key:0>175}}}")))
        .collect();
    let topic: std::sync::Arc<str> = topic.into();
    let began = Instant::now();
    let cpu_before = cpu_seconds();
    // The sender may wait for room while reports are read elsewhere.
    let reader = tokio::spawn(async move {
        let mut reported = 0;
        while let Some(batch) = deliveries.recv().await {
            for delivery in &batch {
                assert!(delivery.result.is_ok(), "{delivery:?}");
            }
            reported += batch.len() as u64;
        }
        reported
    });
    let mut sent = 0_u64;
    while began.elapsed() < duration {
        for _ in 0..500 {
            let key = usize::try_from(sent % KEYS)?;
            let mut message = Message {
                topic: topic.clone(),
                key: keys[key].clone(),
                value: values[key].clone(),
                headers: Vec::new(),
                timestamp_ms: 1_700_000_000_000,
                token: Token(sent),
            };
            loop {
                match producer.send(message) {
                    Ok(()) => break,
                    Err(SendError::Full(back)) => message = back,
                    Err(SendError::Fatal(error)) => return Err(error.into()),
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            sent += 1;
        }
    }
    producer.flush(Duration::from_secs(60)).await?;
    let took = began.elapsed().as_secs_f64();
    drop(producer);
    let reported = reader.await?;
    assert_eq!(reported, sent, "every message has its report");
    tell(&format!(
        "wrote {sent} records: {:.0}/s durable, {:.2} us of processor time each",
        sent as f64 / took,
        (cpu_seconds() - cpu_before) * 1e6 / sent as f64
    ));
    Ok(sent)
}

async fn read(log: &Log, topic: &str, count: u64) -> Result<(), Box<dyn std::error::Error>> {
    let mut consumer = log.consumer(Subscription {
        group: topic.into(),
        topics: vec![(topic.into(), Headers::Skip)],
    })?;
    let mut read = 0;
    let mut bytes = 0;
    let mut batches = 0;
    let mut began = Instant::now();
    let mut cpu_before = cpu_seconds();
    while read < count {
        match consumer.next().await? {
            ConsumerEvent::Assigned(partitions) => {
                began = Instant::now();
                cpu_before = cpu_seconds();
                for one in partitions {
                    consumer.start(&one.topic_partition, one.low).await?;
                }
            }
            ConsumerEvent::Records(batch) => {
                batches += 1;
                for record in batch.iter() {
                    bytes += record.key.len() + record.value.len();
                }
                read += batch.len() as u64;
            }
            ConsumerEvent::Revoked(_) => return Err("the only member keeps all".into()),
        }
    }
    let took = began.elapsed().as_secs_f64();
    tell(&format!(
        "read {read} records ({bytes} bytes, {batches} batches): {:.0}/s, {:.2} us of processor time each",
        read as f64 / took,
        (cpu_seconds() - cpu_before) * 1e6 / read as f64
    ));
    consumer.close().await?;
    Ok(())
}

/// Processor time of this process so far.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(") ").next().unwrap_or_default();
    let fields: Vec<f64> = after_name
        .split(' ')
        .map(|field| field.parse().unwrap_or_default())
        .collect();
    // User and system time, in the kernel's fixed hundredths of a second.
    fields
        .get(11..13)
        .map_or(0.0, |times| times.iter().sum::<f64>() / 100.0)
}

fn tell(line: &str) {
    use std::io::Write as _;
    // Nobody is left to read a report that cannot be written.
    writeln!(std::io::stdout(), "{line}").ok();
}
