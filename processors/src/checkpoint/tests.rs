//! Checkpoints on a real folder: only one owner wins, and damaged ones are passed over.

use object_store::memory::InMemory;

use super::*;
use eventlog::PartitionId;

fn place() -> TopicPartition {
    TopicPartition {
        topic: "meridian.events.v1".into(),
        partition: PartitionId(7),
    }
}

fn checkpoint(offset: u64) -> Checkpoint {
    Checkpoint {
        offset,
        reach: Some(offset + 7),
        incarnation: 3,
        state: offset.to_le_bytes().repeat(1000),
    }
}

/// A store in a folder, and the folder of the partition's files.
fn folder_store() -> (CheckpointStore, tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let store = CheckpointStore::open(&format!("file:{}", folder.path().display())).unwrap();
    let files = folder.path().join("meridian.events.v1/00007");
    (store, folder, files)
}

async fn put(store: &CheckpointStore, number: u64, offset: u64) -> Result<(), CheckpointError> {
    let frame = checkpoint(offset).encode();
    store.put(&place(), CheckpointNumber(number), frame).await
}

fn file_names(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn the_newest_checkpoint_comes_back_whole() {
    let (store, _folder, _) = folder_store();
    let nothing = store.latest(&place()).await.unwrap();
    assert_eq!(nothing.newest, None);
    assert_eq!(nothing.next_number, CheckpointNumber(1));
    put(&store, 1, 10).await.unwrap();
    put(&store, 2, 20).await.unwrap();
    let found = store.latest(&place()).await.unwrap();
    assert_eq!(found.newest, Some(checkpoint(20)));
    assert_eq!(found.next_number, CheckpointNumber(3));
    assert_eq!(found.damaged_count, 0);
}

#[tokio::test]
async fn partitions_do_not_see_each_others_checkpoints() {
    let (store, _folder, _) = folder_store();
    put(&store, 1, 10).await.unwrap();
    let mut other = place();
    other.partition = PartitionId(70);
    assert_eq!(store.latest(&other).await.unwrap().newest, None);
}

#[tokio::test]
async fn only_the_last_three_are_kept() {
    let (store, _folder, files) = folder_store();
    for number in 1..=5 {
        put(&store, number, number * 10).await.unwrap();
    }
    let expected: Vec<String> = (3..=5).map(|number: u64| format!("{number:020}.ckpt")).collect();
    assert_eq!(file_names(&files), expected);
}

#[tokio::test]
async fn of_two_owners_exactly_one_gets_a_number() {
    let (folder_store, _folder, _) = folder_store();
    for store in [folder_store, CheckpointStore::new(Arc::new(InMemory::new()), "a/b")] {
        for number in 1..=20 {
            let (left, right) = tokio::join!(put(&store, number, 1), put(&store, number, 2));
            let winner = match (left, right) {
                (Ok(()), Err(CheckpointError::Fenced { .. })) => 1,
                (Err(CheckpointError::Fenced { .. }), Ok(())) => 2,
                both => panic!("one wins and one is fenced, not {both:?}"),
            };
            let found = store.latest(&place()).await.unwrap();
            assert_eq!(found.newest.map(|checkpoint| checkpoint.offset), Some(winner));
        }
    }
}

#[tokio::test]
async fn a_zombie_is_fenced_even_where_its_number_was_deleted_long_ago() {
    let (store, _folder, files) = folder_store();
    for number in 1..=6 {
        put(&store, number, number * 10).await.unwrap();
    }
    assert!(matches!(put(&store, 2, 15).await, Err(CheckpointError::Fenced { .. })));
    let found = store.latest(&place()).await.unwrap();
    assert_eq!(found.newest, Some(checkpoint(60)));
    assert_eq!(file_names(&files).len(), 3, "the zombie's file is gone again");
}

#[tokio::test]
async fn a_torn_checkpoint_falls_back_to_the_one_before_at_every_length() {
    let (store, _folder, files) = folder_store();
    put(&store, 1, 10).await.unwrap();
    put(&store, 2, 20).await.unwrap();
    let newest = files.join(format!("{:020}.ckpt", 2));
    let whole = std::fs::read(&newest).unwrap();
    for length in 0..whole.len() {
        std::fs::write(&newest, &whole[..length]).unwrap();
        let found = store.latest(&place()).await.unwrap();
        assert_eq!(found.newest, Some(checkpoint(10)), "cut to {length} bytes");
        assert_eq!(found.damaged_count, 1);
        assert_eq!(
            found.next_number,
            CheckpointNumber(3),
            "the torn one keeps its number: it cannot be written again"
        );
    }
}

#[tokio::test]
async fn blocks_of_zeros_left_by_a_power_cut_are_not_a_checkpoint() {
    let (store, _folder, files) = folder_store();
    put(&store, 1, 10).await.unwrap();
    put(&store, 2, 20).await.unwrap();
    let newest = files.join(format!("{:020}.ckpt", 2));
    let mut bytes = std::fs::read(&newest).unwrap();
    let half = bytes.len() / 2;
    bytes[half..].fill(0);
    std::fs::write(&newest, &bytes).unwrap();
    assert_eq!(store.latest(&place()).await.unwrap().newest, Some(checkpoint(10)));
}

#[test]
fn every_flipped_bit_is_noticed() {
    let frame = checkpoint(10).encode();
    for position in 0..frame.len() * 8 {
        let mut damaged = frame.to_vec();
        damaged[position / 8] ^= 1 << (position % 8);
        assert_eq!(Checkpoint::decode(&damaged), Err(FrameError::Damaged), "bit {position}");
    }
}

#[tokio::test]
async fn a_checkpoint_of_a_newer_format_is_an_error_and_not_passed_over() {
    let (store, _folder, files) = folder_store();
    put(&store, 1, 10).await.unwrap();
    put(&store, 2, 20).await.unwrap();
    let mut frame = checkpoint(20).encode().to_vec();
    let content_bytes = frame.len() - 8;
    frame[8] = 9;
    let checksum = xxhash_rust::xxh3::xxh3_64(&frame[..content_bytes]);
    frame[content_bytes..].copy_from_slice(&checksum.to_le_bytes());
    std::fs::write(files.join(format!("{:020}.ckpt", 2)), &frame).unwrap();
    let error = store.latest(&place()).await.unwrap_err();
    assert!(error.to_string().contains("format 9"), "{error}");
}

#[tokio::test]
async fn other_files_in_the_folder_are_left_alone() {
    let (store, _folder, files) = folder_store();
    put(&store, 1, 10).await.unwrap();
    std::fs::write(files.join("00000000000000000002.ckpt#1"), b"left by a crash").unwrap();
    std::fs::write(files.join("notes.txt"), b"mine").unwrap();
    let found = store.latest(&place()).await.unwrap();
    assert_eq!(found.next_number, CheckpointNumber(2));
    assert_eq!(found.newest, Some(checkpoint(10)));
    assert!(files.join("notes.txt").exists());
}

#[test]
fn an_address_that_cannot_be_used_says_what_to_do() {
    let message = |url: &str| CheckpointStore::open(url).unwrap_err().to_string();
    assert!(message("checkpoints").contains("file:/a/folder"));
    assert!(message("file:").contains("the folder is missing"));
    assert!(message("ftp://host/x").contains("not known"));
    if !cfg!(feature = "s3") {
        assert!(message("s3://bucket/x").contains("--features s3"));
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(message(&format!("file:{}/x", file.path().display())).contains("cannot create the folder"));
}

#[test]
fn relative_and_double_slash_folders_are_folders() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/er");
    CheckpointStore::open(&format!("file://{}", path.display())).unwrap();
    assert!(path.is_dir());
}

#[tokio::test]
async fn a_new_incarnation_shuts_out_whoever_has_lost_state_whatever_number_that_has_come_to() {
    let (store, _folder, files) = folder_store();
    put(&store, 56, 10).await.unwrap();
    std::fs::remove_dir_all(&files).unwrap();
    let beginning = CheckpointNumber::beginning_of(1);
    assert!(beginning.is_beginning() && !beginning.next().is_beginning() && !CheckpointNumber(57).is_beginning());
    put(&store, beginning.0, 20).await.unwrap();
    for number in [57, 58, 1_000_000] {
        let refused = put(&store, number, 30).await.unwrap_err();
        assert!(matches!(refused, CheckpointError::Fenced { .. }), "{refused}");
    }
    let found = store.latest(&place()).await.unwrap();
    assert_eq!(
        (found.newest, found.newest_number),
        (Some(checkpoint(20)), Some(beginning))
    );
    assert_eq!(found.next_number, beginning.next());
}

#[test]
fn a_frame_of_the_format_before_is_read_and_has_no_reach() {
    let frame = checkpoint(9).encode();
    // Magic, format, incarnation, offset; then the reach, which that format did not have.
    let mut older = frame[..20].to_vec();
    older[8..10].copy_from_slice(&1u16.to_le_bytes());
    older.extend_from_slice(&frame[28..frame.len() - 8]);
    let checksum = xxhash_rust::xxh3::xxh3_64(&older);
    older.extend_from_slice(&checksum.to_le_bytes());
    let expected = Checkpoint {
        reach: None,
        ..checkpoint(9)
    };
    assert_eq!(Checkpoint::decode(&older), Ok(expected));
}

#[tokio::test]
async fn checkpoints_that_an_owner_deletes_while_they_are_read_are_not_taken_for_lost_ones() {
    let (store, _folder, _) = folder_store();
    for number in 1..=3 {
        put(&store, number, number * 10).await.unwrap();
    }
    let listed = store.numbers(&place()).await.unwrap();
    for number in 4..=6 {
        put(&store, number, number * 10).await.unwrap();
    }
    let (found, vanished_count) = store.newest_of(&place(), listed).await.unwrap();
    assert_eq!(
        (found.newest, found.damaged_count, vanished_count),
        (None, 0, 3),
        "listed again then"
    );
    assert_eq!(store.latest(&place()).await.unwrap().newest, Some(checkpoint(60)));
}
