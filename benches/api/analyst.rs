//! Simulated analysts: each looks at a city, pans and zooms, and now and then at another time, metric or city. They ask for
//! the boxes that the page asks for, and keep answers as a browser does.

use std::{collections::HashMap, sync::Arc, time::Duration};

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::{
    Addresses,
    client::{Connection, Counts, Question},
    now_seconds,
};

/// Longitude and latitude of where the demo fleet is.
const CITIES: [(f64, f64); 8] = [
    (13.405, 52.52),
    (-3.7038, 40.4168),
    (-104.9903, 39.7392),
    (-99.1332, 19.4326),
    (-46.6333, -23.5505),
    (36.8219, -1.2921),
    (77.209, 28.6139),
    (116.4074, 39.9042),
];
const METRICS: [&str; 3] = ["battery", "speed", "temperature"];

/// A laptop's map, in pixels; and what one is wide at zoom 0, in degrees.
const WIDTH_PX: f64 = 1_440.0;
const HEIGHT_PX: f64 = 800.0;
const DEGREES_OF_PIXEL: f64 = 360.0 / 512.0;

/// A look, before the next step.
const THOUGHT_MS: std::ops::Range<u64> = 500..2_500;

/// One in so many looks at what is happening now, whose hexagons change with every flush.
const PRESENT_ONE_IN: u32 = 10;

/// Answers that a browser keeps.
const KEPT_MAX: usize = 200;

/// Some analysts.
pub(crate) struct Crowd {
    tasks: Vec<JoinHandle<Counts>>,
    stopping: watch::Sender<bool>,
}

impl Crowd {
    pub(crate) fn start(addresses: &Arc<Addresses>, count: usize) -> Self {
        let (stopping, stopped) = watch::channel(false);
        let tasks = (0..count).map(|number| {
            let analyst = Analyst::new(number as u64);
            tokio::spawn(analyst.work(addresses.http.clone(), stopped.clone()))
        });
        Self {
            tasks: tasks.collect(),
            stopping,
        }
    }

    pub(crate) async fn run_for(self, time: Duration) -> Counts {
        sleep(time).await;
        self.stop().await
    }

    pub(crate) async fn stop(self) -> Counts {
        self.stopping.send_replace(true);
        let mut all = Counts::default();
        for task in self.tasks {
            all.add(task.await.unwrap());
        }
        all
    }
}

struct Analyst {
    random: SmallRng,
    longitude: f64,
    latitude: f64,
    zoom: f64,
    metric: &'static str,
    /// End of the five minutes that are looked at; none: the last five minutes, whenever that is.
    until: Option<u64>,
    /// Tags by address, and when they came.
    kept: HashMap<String, (String, Instant, Duration)>,
}

impl Analyst {
    fn new(seed: u64) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        let (longitude, latitude) = CITIES[random.random_range(0..CITIES.len())];
        let mut analyst = Self {
            longitude,
            latitude,
            zoom: 10.0,
            metric: METRICS[random.random_range(0..METRICS.len())],
            until: None,
            kept: HashMap::new(),
            random,
        };
        analyst.look_at_a_time();
        analyst
    }

    async fn work(mut self, url: String, stopped: watch::Receiver<bool>) -> Counts {
        let mut counts = Counts::default();
        // Nobody begins at the same moment.
        sleep(Duration::from_millis(self.random.random_range(0..THOUGHT_MS.end))).await;
        let mut connection = Connection::open(&url).await;
        while !*stopped.borrow() {
            self.ask(&mut connection, &mut counts).await;
            sleep(Duration::from_millis(self.random.random_range(THOUGHT_MS))).await;
            self.step();
        }
        counts
    }

    async fn ask(&mut self, connection: &mut Connection, counts: &mut Counts) {
        let path = self.path();
        let question = Question::get(&path);
        let question = match self.kept.get(&path) {
            // The browser shows what it has and does not ask.
            Some((_, came, age_max)) if came.elapsed() < *age_max => return,
            Some((tag, ..)) => question.unless(tag),
            None => question,
        };
        if let Some(tag) = connection.ask(&question, counts).await {
            let age_max = Duration::from_secs(if self.until.is_some() { 60 } else { 1 });
            if self.kept.len() >= KEPT_MAX {
                self.kept.clear();
            }
            self.kept.insert(path, (tag, Instant::now(), age_max));
        }
    }

    fn step(&mut self) {
        match self.random.random_range(0..20) {
            0 => {
                (self.longitude, self.latitude) = CITIES[self.random.random_range(0..CITIES.len())];
                self.zoom = 10.0;
            }
            1 => self.metric = METRICS[self.random.random_range(0..METRICS.len())],
            2 => self.look_at_a_time(),
            3..8 => self.zoom = (self.zoom + f64::from(self.random.random_range(-1..=1_i32))).clamp(8.0, 13.0),
            _ => {
                let width = WIDTH_PX * DEGREES_OF_PIXEL / 2_f64.powf(self.zoom);
                self.longitude += self.random.random_range(-0.4..0.4) * width;
                self.latitude += self.random.random_range(-0.2..0.2) * width;
            }
        }
    }

    /// One of the spans of five minutes that are over, or now.
    fn look_at_a_time(&mut self) {
        let is_present = self.random.random_range(0..PRESENT_ONE_IN) == 0;
        let newest = now_seconds() / 60 * 60 - 60;
        self.until = (!is_present).then(|| newest / 300 * 300);
    }

    fn path(&self) -> String {
        let degrees = DEGREES_OF_PIXEL / 2_f64.powf(self.zoom);
        let (half_width, half_height) = (
            WIDTH_PX * degrees / 2.0,
            HEIGHT_PX * degrees * self.latitude.to_radians().cos() / 2.0,
        );
        // The grid of the page.
        let step = 360.0 / 2_f64.powf(self.zoom.floor() + 1.0);
        let down = |value: f64| (value / step).floor() * step;
        let up = |value: f64| (value / step).ceil() * step;
        let (west, east) = (down(self.longitude - half_width), up(self.longitude + half_width));
        let (south, north) = (down(self.latitude - half_height), up(self.latitude + half_height));
        let resolution = match self.zoom {
            zoom if zoom < 9.0 => 6,
            zoom if zoom < 10.0 => 7,
            zoom if zoom < 12.0 => 8,
            _ => 9,
        };
        let now = now_seconds() / 60 * 60;
        let until = self.until.unwrap_or(now + 60);
        format!(
            "/api/v1/cells?metric={}&tenant=demo&agg=avg&period=60&res={resolution}&bbox={west:.6},{south:.6},{east:.6},{north:.6}&from={}000&to={until}000",
            self.metric,
            until - 300
        )
    }
}
