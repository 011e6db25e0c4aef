//! What the process uses, read from `/proc/self` on each scrape. Elsewhere than on Linux: nothing.

use super::table::doc;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};
use std::{fmt, fs};

/// The kernel counts in hundredths of a second for user space, whatever its own tick is.
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Debug)]
pub(super) struct Process;

/// What was read of a process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Usage {
    pub resident_bytes: i64,
    pub cpu_seconds: f64,
    pub start_seconds: f64,
}

impl Usage {
    fn read() -> Option<Self> {
        let read = |path| fs::read_to_string(path).ok();
        Self::parse(
            &read("/proc/self/stat")?,
            &read("/proc/self/status")?,
            &read("/proc/stat")?,
        )
    }

    /// From `/proc/self/stat`, `/proc/self/status` and `/proc/stat`.
    pub fn parse(stat: &str, status: &str, system: &str) -> Option<Self> {
        // The second field is the program's name in brackets and may hold anything, brackets too.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        // The first of these is field 3 of proc(5).
        let ticks = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
        let line = |text: &str, key: &str| -> Option<i64> {
            text.lines()
                .find_map(|line| line.strip_prefix(key))?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        };
        let boot: i64 = line(system, "btime")?;
        Some(Self {
            resident_bytes: line(status, "VmRSS:")?.checked_mul(1024)?,
            cpu_seconds: (ticks(14)? + ticks(15)?) / TICKS_PER_SECOND,
            start_seconds: f64::from(i32::try_from(boot).ok()?) + ticks(22)? / TICKS_PER_SECOND,
        })
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(usage) = Usage::read() else { return Ok(()) };
        let mut put = |name: &str, help: &str, metric: &dyn Encode| metric.encode(&mut encoder, name, help);
        // The registry ends each help with a full stop; a collector does it itself.
        let help = |name| format!("{}.", doc(name).help);
        put(
            "process_resident_memory_bytes",
            &help("process_resident_memory_bytes"),
            &ConstGauge::new(usage.resident_bytes),
        )?;
        put(
            "process_cpu_seconds",
            &help("process_cpu_seconds_total"),
            &ConstCounter::new(usage.cpu_seconds),
        )?;
        put(
            "process_start_time_seconds",
            &help("process_start_time_seconds"),
            &ConstGauge::new(usage.start_seconds),
        )
    }
}

trait Encode {
    fn encode(&self, encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str) -> fmt::Result;
}

impl<M: EncodeMetric> Encode for M {
    fn encode(&self, encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str) -> fmt::Result {
        let encoder = encoder.encode_descriptor(name, help, None, self.metric_type())?;
        EncodeMetric::encode(self, encoder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_moves_no_field() {
        let stat = "7 (a) b) (c) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 4 0 12345 1000 10 18446744073709551615";
        let status = "Name:\ta\nVmPeak:\t 9 kB\nVmRSS:\t    2048 kB\n";
        let usage = Usage::parse(stat, status, "cpu 1 2 3\nbtime 1700000000\n").unwrap();
        assert_eq!(
            usage,
            Usage {
                resident_bytes: 2_097_152,
                cpu_seconds: 3.0,
                start_seconds: 1_700_000_123.45
            }
        );
    }

    #[test]
    fn what_can_not_be_read_is_left_out() {
        assert_eq!(Usage::parse("", "", ""), None);
        assert_eq!(Usage::parse("7 (a) S 1", "VmRSS: 1 kB", "btime 1"), None);
    }
}
