//! Places that cannot be written, and clocks that go backwards.

use crate::project::{checkpoint, example, fixture, official, project, refusal, stdout, svitt};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

/// A folder that does not exist, below one that nobody (not even root) can write to.
#[cfg(unix)]
fn closed(dir: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let locked = dir.join("locked");
    fs::create_dir(&locked).unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o555)).unwrap();
    // Permissions do not hold for root; the kernel's own folders do.
    let open = File::create(locked.join("probe")).is_ok();
    PathBuf::from(if open { Path::new("/sys/kernel") } else { &locked }).join("svitt")
}

#[test]
#[cfg(unix)]
fn a_place_that_cannot_be_written_is_named_and_nothing_else_happens() {
    let dir = tempfile::tempdir().unwrap();
    let (out, work) = (closed(dir.path()), project());
    let checkpoint = checkpoint().display().to_string();
    let official = official("checkpoint_micro_full.pth").display().to_string();
    let [pretrain, search, svitt] = [example("pretrain"), example("search"), svitt()];
    let commands: [(&Path, &[&str]); 6] = [
        (&pretrain, &["--preset", "preset.toml", "--out"]),
        (&search, &["index", "my-videos", "--checkpoint", &checkpoint, "--index"]),
        (&svitt, &["finetune", "shapes", "--checkpoint", &checkpoint, "--out"]),
        (&svitt, &["visualize", "my-videos/a.mp4", "--text", "the red square", "--checkpoint", &checkpoint, "--out"]),
        (&svitt, &["import", &official, "--out"]),
        (&svitt, &["eval", "shapes", "--limit", "2", "--checkpoint", &checkpoint, "--json"]),
    ];
    for (program, arguments) in commands {
        let output = Command::new(program).args(arguments).arg(&out).current_dir(work).output().unwrap();
        let sentence = refusal(&output);
        let parent = out.parent().unwrap().display().to_string();
        assert!(sentence.contains(&parent) && sentence.lines().count() <= 3, "{arguments:?}: {sentence}");
        assert!(!out.exists(), "{arguments:?}");
    }
}

/// `ulimit -f` counts blocks of 512 bytes: nothing of what is written fits.
#[test]
#[cfg(unix)]
fn a_file_that_may_not_grow_is_a_full_disk() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = checkpoint().display().to_string();
    let video = fixture("bframes.mp4").display().to_string();
    let commands: [&[&str]; 3] = [
        &["import", &official("checkpoint_micro_full.pth").display().to_string(), "--out", "imported"],
        &["visualize", &video, "--checkpoint", &checkpoint, "--out", "pictures"],
        &["data", "frames", &video, "--frames", "2", "--png", "frames"],
    ];
    for arguments in commands {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -f 1; exec \"$0\" \"$@\""]).arg(svitt()).args(arguments).current_dir(dir.path());
        let said = refusal(&command.output().unwrap());
        assert!(said.contains("File too large"), "{arguments:?}: {said}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "{arguments:?}");
    }
}

/// Files are told apart by size and date, whichever way the date moves.
#[test]
fn a_date_that_goes_backwards_is_a_change_like_any_other() {
    let dir = tempfile::tempdir().unwrap();
    let video = dir.path().join("a.mp4");
    fs::copy(fixture("bframes.mp4"), &video).unwrap();
    let index = || {
        let mut command = Command::new(example("search"));
        command.args(["index", ".", "--checkpoint"]).arg(checkpoint()).current_dir(dir.path());
        stdout(&command.output().unwrap())
    };
    assert!(index().contains("1 new, 0 changed"));
    let now = SystemTime::now();
    let ages = [Duration::from_secs(3600), Duration::from_secs(50 * 365 * 86_400)];
    for date in ages.map(|age| now - age).into_iter().chain([now + ages[0]]) {
        File::options().write(true).open(&video).unwrap().set_modified(date).unwrap();
        assert!(index().contains("0 new, 1 changed, 0 unchanged"), "{date:?}");
        assert!(index().contains("0 new, 0 changed, 1 unchanged"), "{date:?}");
    }
}
