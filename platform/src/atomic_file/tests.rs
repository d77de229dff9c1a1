//! What files that are a promise promise.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use super::{PublishedFile, write};

#[test]
fn content_is_replaced_and_no_scratch_file_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("endpoints.json");
    write(&path, b"first").unwrap();
    write(&path, b"second").unwrap();

    assert_eq!(fs::read(&path).unwrap(), b"second");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_reader_never_sees_half_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let contents = [vec![b'a'; 100_000], vec![b'b'; 50_000]];
    write(&path, &contents[0]).unwrap();

    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..50 {
                write(&path, &contents[round % 2]).unwrap();
            }
            done.store(true, Ordering::SeqCst);
        });
        let mut read_count = 0;
        while !done.load(Ordering::SeqCst) || read_count == 0 {
            let seen = fs::read(&path).unwrap();
            assert!(contents.contains(&seen), "saw {} bytes of a mixture", seen.len());
            read_count += 1;
        }
    });
}

#[test]
fn a_failed_write_leaves_the_old_content_and_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing").join("endpoints.json");
    let error = write(&missing, b"x").unwrap_err().to_string();
    assert!(error.contains("missing") && error.contains("endpoints.json"), "{error}");

    // A folder stands where the file should go: the rename fails after the scratch file was written.
    let occupied = folder.path().join("occupied");
    fs::create_dir(&occupied).unwrap();
    fs::write(occupied.join("inside"), b"kept").unwrap();
    write(&occupied, b"x").unwrap_err();
    assert_eq!(fs::read(occupied.join("inside")).unwrap(), b"kept");
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "the scratch file is gone"
    );
}

#[test]
fn a_published_file_goes_with_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("endpoints.json");
    let published = PublishedFile::publish(&path, b"{}").unwrap();
    assert_eq!(published.path(), path);
    assert!(path.exists());
    drop(published);
    assert!(!path.exists());
}

#[test]
fn a_published_file_that_somebody_else_removed_is_no_problem() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("endpoints.json");
    let published = PublishedFile::publish(&path, b"{}").unwrap();
    fs::remove_file(&path).unwrap();
    drop(published);
    assert!(!path.exists());
}
