//! Where devices were last, as their rows in ClickHouse say it.
//!
//! Pure values, in columns: a flush hands over thousands, mostly as they are. A device has one position for each log
//! partition that it was ever in; of one partition the highest version holds, and of several the latest time.

use schemas::rows::{DeviceRows, TextColumn};

/// Where a device was, as one log partition knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position<'a> {
    /// Owner.
    pub tenant: &'a str,
    /// Device identifier.
    pub device: &'a str,
    /// Log partition.
    pub partition: u16,
    /// Of positions of one device and partition the highest holds.
    pub version: u64,
    /// Time of the newest event, Unix milliseconds.
    pub ts_ms: i64,
    /// 1e-7 degrees, or [`schemas::rows::COORDINATE_UNKNOWN_E7`].
    pub latitude_e7: i32,
    /// As the latitude.
    pub longitude_e7: i32,
}

/// Many of them. Its columns have one length, and its names are text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Positions {
    tenant: TextColumn,
    device: TextColumn,
    numbers: Vec<Numbers>,
}

/// Partition, version, time, latitude, longitude.
type Numbers = (u16, u64, i64, i32, i32);

impl Positions {
    /// Those of rows.
    #[must_use]
    pub fn of(rows: &DeviceRows) -> Self {
        let number = |index: usize| {
            (
                rows.partition[index],
                rows.version[index],
                rows.ts_ms[index],
                rows.latitude_e7[index],
                rows.longitude_e7[index],
            )
        };
        Self {
            tenant: rows.tenant.clone(),
            device: rows.device.clone(),
            numbers: (0..rows.partition.len()).map(number).collect(),
        }
    }

    /// Appends one.
    pub fn push(&mut self, position: &Position<'_>) {
        self.tenant.push(position.tenant);
        self.device.push(position.device);
        self.numbers.push((
            position.partition,
            position.version,
            position.ts_ms,
            position.latitude_e7,
            position.longitude_e7,
        ));
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// True where there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// All of them in order.
    pub fn iter(&self) -> impl Iterator<Item = Position<'_>> {
        let names = self.tenant.iter().zip(self.device.iter());
        names.zip(&self.numbers).map(|((tenant, device), numbers)| {
            let (partition, version, ts_ms, latitude_e7, longitude_e7) = *numbers;
            // Names have their grammar since the event was decoded.
            Position {
                tenant: str::from_utf8(tenant).unwrap_or_default(),
                device: str::from_utf8(device).unwrap_or_default(),
                partition,
                version,
                ts_ms,
                latitude_e7,
                longitude_e7,
            }
        })
    }

    /// The log partition of each.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = u16> {
        self.numbers.iter().map(|(partition, ..)| *partition)
    }

    /// The same in parts of at most so many; none where there are none.
    pub(crate) fn chunks(self, count_max: usize) -> Vec<Self> {
        if self.len() <= count_max {
            return if self.is_empty() { Vec::new() } else { vec![self] };
        }
        let mut chunks = vec![Self::default()];
        for position in self.iter() {
            if chunks.last().is_some_and(|last| last.len() == count_max) {
                chunks.push(Self::default());
            }
            chunks.last_mut().expect("there is one").push(&position);
        }
        chunks
    }
}

impl<'a> FromIterator<Position<'a>> for Positions {
    fn from_iter<I: IntoIterator<Item = Position<'a>>>(all: I) -> Self {
        let mut positions = Self::default();
        all.into_iter().for_each(|position| positions.push(&position));
        positions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_those_of_the_rows() {
        let mut rows = DeviceRows::default();
        for number in 0..3 {
            rows.tenant.push("acme");
            rows.device.push(format!("bus-{number}"));
            rows.partition.push(number);
            rows.version.push(u64::from(number) + 10);
            rows.ts_ms.push(5);
            rows.latitude_e7.push(-1);
            rows.longitude_e7.push(i32::from(number));
        }
        let positions = Positions::of(&rows);
        let last = positions.iter().last().unwrap();
        assert_eq!((positions.len(), last.device, last.version), (3, "bus-2", 12));
        assert_eq!(positions.iter().collect::<Positions>(), positions);
    }
}
