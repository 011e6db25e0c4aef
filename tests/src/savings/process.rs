//! The services that are measured: processes of this machine, told what to do on their standard input and looked at
//! from outside.

use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Between two looks at the memory of all.
const LOOK: Duration = Duration::from_millis(100);

/// What a process serves. The same for all that are compared.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// Live heap, in MiB.
    pub live: u32,
    /// Requests a second.
    pub rate: u32,
    /// KiB of garbage that a request makes.
    pub garbage: u32,
    /// KiB that a request computes a sum over.
    pub compute: u32,
}

/// Who moves the knobs of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hand {
    /// Nobody: a GOGC from start to end.
    Fixed(u32),
    /// A tuner in the process, which is told this limit of the container, in MB.
    Tuner(&'static str, u32),
    /// Flyball's agent.
    Agent,
}

/// A running service. It ends with this.
pub struct Process {
    /// Its name in tables.
    pub name: String,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    folder: PathBuf,
    port: u16,
}

/// What a process tells of itself, counted from its start.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Mark {
    /// Requests served.
    pub requests: f64,
    /// Requests that the rate asked for.
    pub due: f64,
    /// CPU seconds, of user and system.
    pub cpu: f64,
}

/// What was measured over a time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measured {
    /// CPU seconds.
    pub cpu: f64,
    /// Requests served.
    pub requests: f64,
    /// Resident memory in bytes: the mean of all looks.
    pub resident: f64,
    /// The lowest.
    pub least: f64,
    /// The highest.
    pub peak: f64,
    /// The share of looks within 2 % of a set-point, where there was one.
    pub near: f64,
}

impl Process {
    /// Starts the program, with a folder of its own under `folder`, where a kubelet would mount it.
    pub fn start(program: &Path, folder: &Path, name: &str, work: Work, hand: Hand) -> Self {
        let folder = folder.join(name.replace([' ', ','], "-"));
        fs::create_dir_all(&folder).expect("a folder for the process");
        // Free until somebody takes it; who is faster than the process ends the benchmark.
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let port = free.expect("a free port").port();
        let mut command = Command::new(program);
        command
            .arg(format!("-garbage={}", u64::from(work.garbage) << 10))
            .arg(format!("-work={}", work.compute))
            .env("GOMAXPROCS", "2")
            .env("FLYBALL_LOG", "off")
            .env("FLYBALL_AGENT", "off")
            .env_remove("GOMEMLIMIT")
            .env_remove("GOGC")
            .env_remove("GODEBUG");
        match hand {
            Hand::Fixed(gogc) => {
                command.env("GOGC", gogc.to_string());
            }
            Hand::Tuner(tuner, limit) => {
                let limit = u64::from(limit) * 1_000_000;
                command.arg(format!("-tuner={tuner}")).arg(format!("-limit={limit}"));
            }
            Hand::Agent => {
                command
                    .env_remove("FLYBALL_AGENT")
                    .env("FLYBALL_RUNTIME_DIR", &folder)
                    .env("FLYBALL_METRICS_ADDRESS", format!("127.0.0.1:{port}"))
                    .env("FLYBALL_MEMLIMIT_MAX", "4000000000");
            }
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let input = child.stdin.take().expect("its input");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let mut process = Self {
            name: name.to_owned(),
            child,
            input,
            output,
            folder,
            port,
        };
        process.live(work.live);
        process.rate(work.rate);
        process
    }

    fn say(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap_or_else(|error| panic!("{} has ended: {error}", self.name));
    }

    fn answer(&mut self) -> Mark {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("its answer can be read");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{} says {line:?}: {error}", self.name))
    }

    /// Sets the rate of requests.
    pub fn rate(&mut self, rate: u32) {
        self.say(&format!("rate {rate}"));
    }

    /// Sets the live heap in MiB, and waits until it is there.
    pub fn live(&mut self, mib: u32) {
        self.say(&format!("live {mib}"));
        self.answer();
    }

    fn mark(&mut self) -> Mark {
        self.say("mark");
        self.answer()
    }

    /// Writes a line where the agent reads it: whole or not at all, as a kubelet does.
    pub fn write(&self, line: &str) {
        let next = self.folder.join("next");
        fs::write(&next, line).expect("the line is written");
        fs::rename(next, self.folder.join("runtime")).expect("the line takes its place");
    }

    fn resident(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: Option<f64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        kib.unwrap_or_else(|| panic!("{} has ended", self.name)) * 1024.0
    }

    /// The agent's page of metrics, as [`values`] has it.
    pub fn page(&self) -> BTreeMap<String, f64> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).expect("the agent listens");
        write!(stream, "GET /metrics HTTP/1.0\r\n\r\n").expect("it is asked");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("it answers");
        values(&text)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a page of metrics says, by name without the prefix; series of knobs by `name/knob`, others of one name together.
fn values(text: &str) -> BTreeMap<String, f64> {
    let mut page = BTreeMap::new();
    let ours = text.lines().filter_map(|line| line.strip_prefix("flyball_agent_"));
    for (series, value) in ours.filter_map(|line| line.rsplit_once(' ')) {
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let knob = labels
            .split_once("knob=\"")
            .and_then(|(_, rest)| Some(rest.split_once('"')?.0));
        let name = knob.map_or_else(|| name.to_owned(), |knob| format!("{name}/{knob}"));
        *page.entry(name).or_insert(0.0) += value.parse::<f64>().unwrap_or(f64::NAN);
    }
    page
}

/// Measures all at the same time, for so long. `beside` is called about once a second with the time that has passed.
pub fn observe(
    processes: &mut [Process],
    length: Duration,
    set_point: f64,
    mut beside: impl FnMut(&mut [Process], Duration),
) -> Vec<Measured> {
    let began = Instant::now();
    let before: Vec<Mark> = processes.iter_mut().map(Process::mark).collect();
    let mut measured = vec![
        Measured {
            least: f64::INFINITY,
            ..Measured::default()
        };
        processes.len()
    ];
    let (mut looks, mut second) = (0.0, 0);
    while began.elapsed() < length {
        thread::sleep(LOOK);
        looks += 1.0;
        for (process, measured) in processes.iter().zip(&mut measured) {
            let resident = process.resident();
            measured.resident += resident;
            measured.least = measured.least.min(resident);
            measured.peak = measured.peak.max(resident);
            if (resident / set_point - 1.0).abs() <= 0.02 {
                measured.near += 1.0;
            }
        }
        if began.elapsed().as_secs() > second {
            second = began.elapsed().as_secs();
            beside(processes, began.elapsed());
        }
    }
    for ((process, before), measured) in processes.iter_mut().zip(before).zip(&mut measured) {
        let after = process.mark();
        let waiting = after.due - after.requests;
        // A second's worth may be under way; more is a machine that is too slow for the comparison.
        if waiting > (after.due - before.due) / 10.0 + 20.0 {
            println!(
                "{}: {waiting} requests wait, the machine does not keep up",
                process.name
            );
        }
        measured.cpu = after.cpu - before.cpu;
        measured.requests = after.requests - before.requests;
        measured.resident /= looks;
        measured.near /= looks;
    }
    measured
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_by_name_and_knob() {
        let page = values(
            "HTTP/1.0 200 OK\r\n\r\n# TYPE flyball_agent_knob gauge\n\
             flyball_agent_knob{knob=\"gogc\"} 150\n\
             flyball_agent_knob{knob=\"memlimit\"} +Inf\n\
             flyball_agent_rejected_total{reason=\"off\"} 2\n\
             flyball_agent_rejected_total{reason=\"old\"} 1\n\
             flyball_agent_heap_live_bytes 1.5e+06\n\
             go_goroutines 7\n",
        );
        let check = |name: &str, expect: Option<f64>| assert_eq!(page.get(name).copied(), expect, "{name}");
        check("knob/gogc", Some(150.0));
        check("knob/memlimit", Some(f64::INFINITY));
        check("rejected_total", Some(3.0));
        check("heap_live_bytes", Some(1_500_000.0));
        check("go_goroutines", None);
    }
}
