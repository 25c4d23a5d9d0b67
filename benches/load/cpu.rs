//! The processor time that processes have used, from `/proc`.

use std::{fs, time::Duration};

use crate::figures::Result;

/// The unit of times in `/proc`, `USER_HZ`: 100 ticks per second on x86-64 and ARM64.
const TICKS_PER_SECOND: u64 = 100;

/// The parent of a process, and the processor time of it and of its children that have exited.
struct Stat {
    parent: u32,
    used: Duration,
}

impl Stat {
    fn of(pid: u32) -> Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The second field is a name in parentheses, which may hold anything.
        let (_, rest) = stat.rsplit_once(") ").ok_or("no name in stat")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        // `man 5 proc` counts from 1, and two fields are gone: ppid is 4, utime to cstime are 14 to
        // 17.
        let ticks: Vec<u64> =
            fields[11..15].iter().map(|ticks| ticks.parse()).collect::<std::result::Result<_, _>>()?;
        let used = Duration::from_millis(ticks.iter().sum::<u64>() * 1_000 / TICKS_PER_SECOND);
        Ok(Self { parent: fields[1].parse()?, used })
    }
}

/// Returns the processor time of a process.
pub fn of_process(pid: u32) -> Result<Duration> {
    Ok(Stat::of(pid)?.used)
}

/// Returns the processor time of the parent of `child` and of all its children.
pub fn of_siblings_and_parent(child: u32) -> Result<Duration> {
    let parent = Stat::of(child)?.parent;
    let mut used = of_process(parent)?;
    for entry in fs::read_dir("/proc")? {
        let Ok(pid) = entry?.file_name().to_string_lossy().parse() else { continue };
        // It may have exited meanwhile; then its parent has the time.
        if let Ok(stat) = Stat::of(pid)
            && stat.parent == parent
        {
            used += stat.used;
        }
    }
    Ok(used)
}
