//! What the operating system says of this process. Linux's `/proc`; elsewhere it is not known.

use std::fs;

/// What the operating system says of this process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Process {
    /// Bytes.
    pub(super) resident: u64,
    /// Seconds of CPU time.
    pub(super) cpu: f64,
    /// Seconds since 1970.
    pub(super) started: f64,
    /// Open ones.
    pub(super) descriptors: u64,
}

impl Process {
    /// `None` where the system does not say.
    pub(super) fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // After the name, which may have spaces: the state, and from there field 3 of proc_pid_stat(5).
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number.checked_sub(3)?)?.parse::<u64>().ok();
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        let statm = fs::read_to_string("/proc/self/statm").ok()?;
        let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
        let system = fs::read_to_string("/proc/stat").ok()?;
        let booted: u64 = system.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
        Some(Self {
            resident: pages * rustix::param::page_size() as u64,
            cpu: (field(14)? + field(15)?) as f64 / ticks,
            started: booted as f64 + field(22)? as f64 / ticks,
            descriptors: fs::read_dir("/proc/self/fd").ok()?.count() as u64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_itself() {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        let process = Process::read().expect("on Linux");
        assert!(process.resident > 1 << 20 && process.cpu >= 0.0 && process.descriptors > 2, "{process:?}");
        assert!((now - process.started) < 3600.0 && process.started < now + 2.0, "{process:?} at {now}");
    }
}
