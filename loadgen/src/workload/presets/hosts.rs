//! Hosts with node_exporter.

use super::super::churn::{Incarnation, Place};
use super::super::series::{Catalogue, Pairs};
use super::super::values::Motion;

const MODES: [&str; 8] = ["idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"];
const CPUS: usize = 16;
const DISKS: [&str; 4] = ["nvme0n1", "nvme1n1", "sda", "sdb"];
const LINKS: [&str; 4] = ["bond0", "eth0", "eth1", "lo"];
const MOUNTS: [(&str, &str, &str); 4] = [
    ("/dev/nvme0n1p1", "ext4", "/"),
    ("/dev/nvme0n1p2", "ext4", "/var"),
    ("/dev/nvme1n1", "xfs", "/data"),
    ("tmpfs", "tmpfs", "/run"),
];

/// What node_exporter shows of a host of 16 cores; counters of vmstat fill the rest.
pub(super) fn node_exporter(most: usize) -> Catalogue {
    let mut catalogue = Catalogue::new(most);
    let uname = [("machine", "x86_64"), ("release", "6.1.0-28-amd64"), ("sysname", "Linux")];
    catalogue.float("node_uname_info", &uname, Motion::Constant(1));
    for cpu in (0..CPUS).map(|cpu| cpu.to_string()) {
        for mode in MODES {
            let labels = [("cpu", cpu.as_str()), ("mode", mode)];
            catalogue.float("node_cpu_seconds_total", &labels, Motion::Seconds(128));
        }
    }
    for disk in DISKS {
        for what in ["read_bytes", "reads_completed", "written_bytes", "writes_completed", "io_now"]
        {
            catalogue.counter(&format!("node_disk_{what}_total"), &[("device", disk)]);
        }
    }
    for link in LINKS {
        for what in ["bytes", "drop", "errs", "packets"] {
            for way in ["receive", "transmit"] {
                catalogue.counter(&format!("node_network_{way}_{what}_total"), &[("device", link)]);
            }
        }
    }
    for (device, kind, mount) in MOUNTS {
        let labels = [("device", device), ("fstype", kind), ("mountpoint", mount)];
        for what in ["avail_bytes", "files", "files_free", "free_bytes", "size_bytes"] {
            catalogue.gauge(&format!("node_filesystem_{what}"), &labels);
        }
    }
    for load in ["node_load1", "node_load5", "node_load15"] {
        catalogue.gauge(load, &[]);
    }
    for what in ["Active", "Buffers", "Cached", "Dirty", "MemAvailable", "MemFree", "MemTotal"] {
        catalogue.gauge(&format!("node_memory_{what}_bytes"), &[]);
    }
    for number in 0.. {
        if catalogue.is_full() {
            break;
        }
        catalogue.counter(&format!("node_vmstat_event_{number:03}"), &[]);
    }
    catalogue
}

/// A host.
pub(super) fn target(namespaces: u32, place: Place, who: Incarnation) -> Pairs {
    let rack = place.target % u64::from(namespaces.max(1));
    let again = match (who.pod, who.deploy) {
        (0, 0) => String::new(),
        (pod, deploy) => format!("-{:x}", (pod ^ deploy << 20) & 0xff_ffff),
    };
    [
        ("instance", format!("node-{:05}{again}.eu-west-1.example.net:9100", place.target)),
        ("job", "node".to_owned()),
        ("rack", format!("rack-{rack:02}")),
        ("region", "eu-west-1".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
