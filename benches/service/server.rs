//! The service as a process of its own, and what the system tells of a process.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::Outcome;
use crate::client::{Connection, JSON};

/// The time in which the service must answer after its start.
const START: Duration = Duration::from_secs(60);
/// The time in which it must end after a signal.
const END: Duration = Duration::from_secs(60);
/// The clock ticks of a second in /proc, on every Linux.
const TICKS: f64 = 100.0;

/// A running service. It is killed if it is dropped.
pub(crate) struct Server {
    child: Child,
    folder: PathBuf,
    pub(crate) address: SocketAddr,
    /// True once it was ended on purpose.
    ended: bool,
}

impl Server {
    /// Starts the service in a folder of its own, over bars; `settings` are lines of the section `serve`.
    pub(crate) async fn start(
        program: &Path,
        folder: &Path,
        bars: &Path,
        settings: &str,
        flags: &[&str],
    ) -> Outcome<Self> {
        std::fs::create_dir_all(folder)?;
        let config = format!("sources:\n  bars: {}\nserve:\n{settings}", bars.display());
        std::fs::write(folder.join("windrow.yaml"), config)?;
        let log = folder.join("log");
        let child = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(flags)
            .current_dir(folder)
            .env_remove("WINDROW_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = Self { child, folder: folder.to_path_buf(), address, ended: false };
        server.address = server.find_address().await?;
        server.wait_until_ready().await?;
        Ok(server)
    }

    /// Returns the address that the log of the service names.
    async fn find_address(&mut self) -> Outcome<SocketAddr> {
        let until = Instant::now() + START;
        while Instant::now() < until && self.child.try_wait()?.is_none() {
            let log = std::fs::read_to_string(self.log())?;
            let mut lines = log.lines();
            let named = lines.find_map(|line| line.split_once("windrow serves http://"));
            if let Some(address) = named.and_then(|(_, address)| address.trim().parse().ok()) {
                return Ok(address);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err(format!("the service did not start:\n{}", self.log_end()).into())
    }

    async fn wait_until_ready(&self) -> Outcome<()> {
        let until = Instant::now() + START;
        loop {
            let mut connection = self.connect().await?;
            let answer = connection.get("/ready", JSON).await?;
            if answer.status == 200 {
                return Ok(());
            }
            if Instant::now() > until {
                return answer.expect(200);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Opens a connection.
    pub(crate) async fn connect(&self) -> Outcome<Connection> {
        Connection::open(self.address).await
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// Returns the last lines of the log.
    pub(crate) fn log_end(&self) -> String {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Returns the warnings and errors in the log.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let loud = |line: &&str| line.contains(" WARN ") || line.contains(" ERROR ");
        log.lines().filter(loud).map(str::to_string).collect()
    }

    /// Returns the processor time that it used so far.
    pub(crate) fn processor_time(&self) -> Outcome<f64> {
        processor_time(&self.child.id().to_string())
    }

    /// Returns its resident memory in bytes.
    pub(crate) fn resident_bytes(&self) -> Outcome<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB"));
        let kilobytes = kilobytes.and_then(|number| number.trim().parse::<u64>().ok());
        Ok(kilobytes.ok_or("the service has no VmRSS")? * 1024)
    }

    /// Sums the values of a metric over all its labels.
    pub(crate) async fn metric(&self, name: &str) -> Outcome<f64> {
        let mut connection = self.connect().await?;
        let answer = connection.get("/metrics", "*/*").await?;
        answer.expect(200)?;
        let text = std::str::from_utf8(answer.body)?;
        let lines =
            text.lines().filter_map(|line| line.split_once([' ', '{']).map(|(n, _)| (n, line)));
        let values = lines.filter(|(known, _)| *known == name);
        Ok(values.filter_map(|(_, line)| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }

    /// Ends the service by SIGTERM, and fails unless it says that all went well.
    pub(crate) async fn end(mut self) -> Outcome<()> {
        self.ended = true;
        self.signal(Signal::TERM)?;
        let until = Instant::now() + END;
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => {
                    return Err(format!("it ended with {status}:\n{}", self.log_end()).into());
                }
                None if Instant::now() > until => {
                    return Err(format!("it did not end:\n{}", self.log_end()).into());
                }
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    /// Kills the service, as a crash would.
    pub(crate) fn kill(mut self) -> Outcome<()> {
        self.ended = true;
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Outcome<()> {
        let pid = Pid::from_raw(self.child.id() as i32).ok_or("the service has no id")?;
        Ok(kill_process(pid, signal)?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.ended {
            eprintln!("the end of the log of the service:\n{}", self.log_end());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the processor time of this process.
pub(crate) fn own_processor_time() -> Outcome<f64> {
    processor_time("self")
}

fn processor_time(process: &str) -> Outcome<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name of the program, in brackets, may have spaces.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let times = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
    Ok(times.sum::<f64>() / TICKS)
}
