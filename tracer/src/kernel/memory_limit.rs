//! The memory limit of this process's cgroup, version 1 or 2. The kernel charges the state of connections to it, and lets
//! such charges go over the limit: who is killed for it is this process. So it has to be known before.

use std::fs;
use std::path::{Path, PathBuf};

/// The lowest limit of the cgroup of this process and those above it, bytes; `None` without one.
pub(super) fn own() -> Option<u64> {
    let cgroups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    places(&cgroups, &mounts).iter().filter_map(lowest).min()
}

/// A cgroup's directory, the mount point it lies below, and the file with the limit.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    mount_point: PathBuf,
    directory: PathBuf,
    file: &'static str,
}

/// Where limits of this process may lie, from the texts of `/proc/self/cgroup` and `/proc/self/mountinfo`.
fn places(cgroups: &str, mounts: &str) -> Vec<Place> {
    let found = mounts.lines().filter_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        let (root, mount_point) = (mount.split(' ').nth(3)?, mount.split(' ').nth(4)?);
        let options = file_system.split(' ').nth(2)?;
        let (prefix, file) = match file_system.split(' ').next()? {
            "cgroup2" => ("0::".to_owned(), "memory.max"),
            "cgroup" if options.split(',').any(|option| option == "memory") => {
                let line = cgroups.lines().find(|line| {
                    line.split(':')
                        .nth(1)
                        .is_some_and(|controllers| controllers.split(',').any(|one| one == "memory"))
                })?;
                let hierarchy = line.split(':').take(2).collect::<Vec<_>>().join(":");
                (format!("{hierarchy}:"), "memory.limit_in_bytes")
            }
            _ => return None,
        };
        let path = cgroups.lines().find_map(|line| line.strip_prefix(&prefix))?;
        // In a container the mount shows a part of the tree only.
        let below = path.strip_prefix(root).unwrap_or(path).trim_start_matches('/');
        let mount_point = PathBuf::from(mount_point);
        Some(Place { directory: mount_point.join(below), mount_point, file })
    });
    found.collect()
}

fn lowest(place: &Place) -> Option<u64> {
    let all = place.directory.ancestors().take_while(|directory| directory.starts_with(&place.mount_point));
    all.filter_map(|directory| limit(directory, place.file)).min()
}

fn limit(directory: &Path, file: &str) -> Option<u64> {
    parse(&fs::read_to_string(directory.join(file)).ok()?)
}

/// Version 2 says `max`, version 1 the largest multiple of a page below 2^63, when there is none.
fn parse(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|&bytes: &u64| bytes < 1 << 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_found_where_they_are_mounted() {
        let mounts = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
                      36 31 0:33 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
                      37 31 0:34 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n\
                      1 1 0:1 / / rw - ext4 /dev/vda rw\n";
        let found = places("4:memory:/a/b\n1:cpu:/\n0::/c\n", mounts);
        let place = |mount_point: &str, below: &str, file| Place {
            mount_point: mount_point.into(),
            directory: Path::new(mount_point).join(below),
            file,
        };
        assert_eq!(
            found,
            [
                place("/sys/fs/cgroup/memory", "a/b", "memory.limit_in_bytes"),
                place("/sys/fs/cgroup/unified", "c", "memory.max")
            ]
        );
    }

    #[test]
    fn in_a_container_the_mount_is_a_part_of_the_tree() {
        let mounts = "35 31 0:32 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw,nsdelegate\n";
        let found = places("0::/docker/abc/inner\n", mounts);
        assert_eq!(found[0].directory, Path::new("/sys/fs/cgroup/inner"));
    }

    #[test]
    fn the_lowest_limit_on_the_way_up_holds() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("outer/inner");
        fs::create_dir_all(&inner).unwrap();
        fs::write(root.path().join("outer/memory.max"), "1000000\n").unwrap();
        fs::write(inner.join("memory.max"), "max\n").unwrap();
        let place = Place { mount_point: root.path().into(), directory: inner, file: "memory.max" };
        assert_eq!(lowest(&place), Some(1_000_000));
    }

    #[test]
    fn no_limit_is_none() {
        assert_eq!(parse("max\n"), None);
        assert_eq!(parse("9223372036854771712\n"), None);
        assert_eq!(parse("67108864\n"), Some(67_108_864));
    }
}
