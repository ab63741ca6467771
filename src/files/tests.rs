use super::*;

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_file_is_replaced_whole_and_a_failure_leaves_the_old_one_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.json");
    write_json(&file, &[1, 2]).unwrap();
    assert_eq!(read_json::<Vec<u8>>(&file, "").unwrap(), [1, 2]);
    let refused = write_with(&file, |out| {
        out.write_all(&[b'x'; 3_000_000]).unwrap();
        // Between the first and the last byte the old file is still the one that is read.
        assert_eq!(read_json::<Vec<u8>>(&file, "").unwrap(), [1, 2]);
        Err(Error::setting("x", "is wrong", "stop"))
    });
    assert!(refused.unwrap_err().to_string().contains("is wrong"));
    assert_eq!(read_json::<Vec<u8>>(&file, "").unwrap(), [1, 2]);
    assert_eq!(names(dir.path()), ["a.json"]);
    let nowhere = write(&dir.path().join("no/a.json"), "x").unwrap_err().to_string();
    assert!(nowhere.contains("no/a.json") && nowhere.contains("check the path"), "{nowhere}");
    let folder = write(dir.path(), "x").unwrap_err().to_string();
    assert!(folder.contains(&dir.path().display().to_string()), "{folder}");
    let long = dir.path().join("x".repeat(250));
    write(&long, "y").unwrap();
    assert_eq!(fs::read_to_string(long).unwrap(), "y");
}

#[test]
#[cfg(unix)]
fn the_program_s_own_files_are_no_links() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("precious"), "mine").unwrap();
    for (target, link) in [("precious", "lock"), ("nowhere", "dangling")] {
        std::os::unix::fs::symlink(target, at(link)).unwrap();
        let refused = open_own(&at(link), "delete it").unwrap_err().to_string();
        assert!(refused.contains("is not a regular file; delete it"), "{refused}");
    }
    assert!(fs::read(at("precious")).unwrap() == b"mine" && !at("nowhere").exists());
    drop(open_own(&at("new"), "").unwrap());
    assert_eq!(fs::read(at("new")).unwrap(), b"");
}

#[test]
#[cfg(unix)]
fn links_are_followed_and_permissions_kept() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("deep")).unwrap();
    fs::write(at("deep/real"), "old").unwrap();
    fs::set_permissions(at("deep/real"), fs::Permissions::from_mode(0o600)).unwrap();
    symlink("deep/real", at("link")).unwrap();
    symlink("link", at("link-to-link")).unwrap();
    write(&at("link-to-link"), "new").unwrap();
    assert_eq!(fs::read_to_string(at("deep/real")).unwrap(), "new");
    assert_eq!(fs::metadata(at("deep/real")).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(fs::symlink_metadata(at("link")).unwrap().is_symlink());
    // A link to what is not there yet makes it there.
    symlink("deep/later", at("dangling")).unwrap();
    write(&at("dangling"), "first").unwrap();
    assert_eq!(fs::read_to_string(at("deep/later")).unwrap(), "first");
    symlink("circle", at("circle")).unwrap();
    assert!(write(&at("circle"), "x").unwrap_err().to_string().contains("too many links"));
    // A new file is as open as the umask allows, not as closed as a temporary one.
    fs::write(at("plain"), "").unwrap();
    let mode = |name: &str| fs::metadata(at(name)).unwrap().permissions().mode() & 0o777;
    write(&at("fresh"), "x").unwrap();
    assert_eq!(mode("fresh"), mode("plain"));
}

/// A node made by `mknod` or `mkfifo` in a folder of the test's own; false where the system does not allow it.
#[cfg(unix)]
fn node(command: &str, path: &Path, rest: &[&str]) -> bool {
    let made = std::process::Command::new(command).arg(path).args(rest).output();
    made.is_ok_and(|made| made.status.success())
}

#[test]
#[cfg(unix)]
fn what_is_no_regular_file_is_written_to_and_stays() {
    use std::os::unix::fs::FileTypeExt as _;
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    assert!(node("mkfifo", &pipe, &[]));
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::read_to_string(pipe).unwrap()
    });
    write(&pipe, "through the pipe").unwrap();
    assert_eq!(reader.join().unwrap(), "through the pipe");
    assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
    // Root only: a null device of the test's own.
    let null = dir.path().join("null");
    if node("mknod", &null, &["c", "1", "3"]) && write(&null, "x").is_ok() {
        assert!(fs::metadata(&null).unwrap().file_type().is_char_device());
    }
    assert!(names(dir.path()).iter().all(|name| !name.ends_with(PARTIAL)));
}

/// `/proc/self/fd/N` of a redirected stream is a link to a regular file that others write to as well.
#[test]
#[cfg(target_os = "linux")]
fn an_open_descriptor_is_appended_to() {
    use std::os::fd::AsRawFd as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.txt");
    let mut open = File::options().create_new(true).append(true).open(&path).unwrap();
    open.write_all(b"before\n").unwrap();
    write(Path::new(&format!("/proc/self/fd/{}", open.as_raw_fd())), "written\n").unwrap();
    write(Path::new(&format!("/dev/fd/{}", open.as_raw_fd())), "again\n").unwrap();
    open.write_all(b"after\n").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "before\nwritten\nagain\nafter\n");
}
