//! The commits between two: all branches of a merge, who answers for which file, what is cut and what is not known.

use crate::fixture::master;
use crate::signers::{BORN, Lab, NOW, Sign, SshKey, keyring};
use jiff::Timestamp;
use tidegate_git::{Contribution, History, Keyring, Paths, SignatureState};

async fn between(lab: &Lab, old: Option<&str>, new: &str, ring: &Keyring, cap: usize) -> History {
    lab.point("refs/heads/master", new);
    lab.pool.git.fetch(&lab.remote, &master(), None).await.unwrap();
    let now = Timestamp::from_second(NOW).unwrap();
    lab.pool
        .git
        .commits_between(&lab.remote, old, new, ring, now, cap)
        .await
        .unwrap()
}

fn of<'a>(history: &'a History, commit: &str) -> &'a Contribution {
    let found = history.commits.iter().find(|c| c.revision.commit == commit);
    found.unwrap_or_else(|| panic!("{commit} is not in {history:?}"))
}

fn known(paths: &[&str]) -> Paths {
    Paths::Known(paths.iter().map(|&path| path.to_owned()).collect())
}

#[tokio::test]
async fn a_signed_merge_brings_its_unsigned_parents_with_it() {
    let (lab, key) = (Lab::new(), SshKey::new(1));
    let ring = keyring(&[("allowed_signers", &format!("alice@example.com {}", key.public()))]);
    let sign: Option<Sign<'_>> = Some(&|bytes, at| key.sign(bytes, at));
    let base = lab.commit(&[("a", "1"), ("b", "1")], &[], "alice", BORN, sign);
    let ours = lab.commit(&[("a", "2"), ("b", "1")], &[&base], "alice", BORN + 1, sign);
    let side = lab.commit(&[("a", "1"), ("b", "2")], &[&base], "bob", BORN + 2, None);
    let merge = lab.commit(
        &[("a", "2"), ("b", "2")],
        &[&ours, &side],
        "alice",
        BORN + 3,
        sign,
    );
    let history = between(&lab, Some(&base), &merge, &ring, 100).await;
    assert!(history.descends && history.missing.is_none(), "{history:?}");
    let ids: Vec<&str> = history
        .commits
        .iter()
        .map(|c| c.revision.commit.as_str())
        .collect();
    assert_eq!(ids.len(), 3);
    assert_eq!(ids[0], merge);
    let state = |commit: &str| of(&history, commit).signature.state;
    assert_eq!(state(&merge), SignatureState::Good);
    assert_eq!(state(&ours), SignatureState::Good);
    assert_eq!(state(&side), SignatureState::None);
    assert_eq!(of(&history, &side).revision.author_email, "bob@example.com");
    assert_eq!(of(&history, &side).paths, known(&["b"]));
    assert_eq!(of(&history, &ours).paths, known(&["a"]));
    // A merge that only merges answers for nothing of its own.
    assert_eq!(of(&history, &merge).paths, known(&[]));
    assert_eq!(of(&history, &merge).parents, [ours, side]);
}

#[tokio::test]
async fn a_merge_answers_for_what_merging_does_not_give() {
    let lab = Lab::new();
    let ring = Keyring::default();
    let files = |a: &'static str, b: &'static str, c: &'static str| [("a", a), ("b", b), ("c", c)];
    let base = lab.commit(&files("0", "0", "0"), &[], "x", BORN, None);
    let ours = lab.commit(&files("1", "0", "1"), &[&base], "x", BORN + 1, None);
    let side = lab.commit(&files("0", "1", "2"), &[&base], "x", BORN + 2, None);
    // Of c both had made something else: whichever is taken, somebody decided.
    for (name, merged, want) in [
        ("both sides kept", files("1", "1", "1"), vec!["c"]),
        ("taken back ours", files("0", "1", "2"), vec!["a", "c"]),
        ("taken back theirs", files("1", "0", "2"), vec!["b", "c"]),
        ("something new", files("9", "1", "3"), vec!["a", "c"]),
    ] {
        for parents in [[ours.as_str(), &side], [side.as_str(), &ours]] {
            let merge = lab.commit(&merged, &parents, "x", BORN + 3, None);
            let history = between(&lab, Some(&base), &merge, &ring, 100).await;
            assert_eq!(of(&history, &merge).paths, known(&want), "{name}");
        }
    }
    let alien = lab.commit(&[("z", "1")], &[], "x", BORN, None);
    let merge = lab.commit(&[("a", "1"), ("z", "1")], &[&alien, &ours], "x", BORN + 3, None);
    let history = between(&lab, Some(&base), &merge, &ring, 100).await;
    assert_eq!(
        of(&history, &merge).paths,
        known(&["a", "b", "c", "z"]),
        "no common past"
    );
    assert_eq!(of(&history, &alien).paths, known(&["z"]), "a root");
}

#[tokio::test]
async fn what_is_cut_or_gone_is_said() {
    let lab = Lab::new();
    let ring = Keyring::default();
    let mut tip = lab.commit(&[("a", "0")], &[], "x", BORN, None);
    let first = tip.clone();
    for n in 1..=5 {
        tip = lab.commit(&[("a", &n.to_string())], &[&tip], "x", BORN + n, None);
    }
    let history = between(&lab, Some(&first), &tip, &ring, 5).await;
    assert_eq!((history.commits.len(), history.missing), (5, None));
    let history = between(&lab, Some(&first), &tip, &ring, 4).await;
    assert_eq!(history.commits.len(), 4);
    assert!(history.missing.unwrap().contains("more than 4 commits"));
    let history = between(&lab, None, &tip, &ring, 4).await;
    assert_eq!((history.commits.len(), history.missing), (1, None));
    let history = between(&lab, Some(&tip), &tip, &ring, 4).await;
    assert_eq!((history.commits.len(), history.descends), (0, true));

    // Moved back: nothing came in between, and nobody signed what was taken back.
    let history = between(&lab, Some(&tip), &first, &ring, 4).await;
    assert_eq!((history.commits.len(), history.descends), (0, false));
    let rewritten = lab.commit(&[("a", "9")], &[&first], "x", BORN + 9, None);
    let history = between(&lab, Some(&tip), &rewritten, &ring, 4).await;
    assert_eq!((history.commits.len(), history.descends), (1, false));
    assert_eq!(history.missing, None);

    let gone = "1".repeat(40);
    let history = between(&lab, Some(&gone), &tip, &ring, 4).await;
    assert_eq!((history.commits.len(), history.descends), (1, false));
    assert!(
        history
            .missing
            .unwrap()
            .contains("is not in the repository any more")
    );
}

#[tokio::test]
async fn paths_beyond_the_cap_are_unknown_not_few() {
    let lab = Lab::new();
    let names: Vec<String> = (0..10_001).map(|n| format!("d/{n:05}")).collect();
    let blob = lab.origin.blob(b"x");
    let lines: Vec<(&str, &str, &str)> = names
        .iter()
        .map(|name| ("100644", blob.as_str(), name.trim_start_matches("d/")))
        .collect();
    let folder = lab.origin.tree(&lines);
    let many = lab.origin.tree(&[("040000", &folder, "d")]);
    let first = lab.commit(&[("a", "0")], &[], "x", BORN, None);
    let text = crate::signers::commit_text(&many, &[&first], "x", BORN + 1, None);
    let second = lab.origin.object("commit", &text);
    let third = lab.commit(&[("a", "0")], &[&second], "x", BORN + 2, None);
    let fourth = lab.commit(&[("a", "1")], &[&third], "x", BORN + 3, None);
    let history = between(&lab, Some(&first), &fourth, &Keyring::default(), 100).await;
    assert!(matches!(of(&history, &second).paths, Paths::Unknown(_)));
    assert!(matches!(of(&history, &third).paths, Paths::Unknown(_)));
    assert_eq!(of(&history, &fourth).paths, known(&["a"]));
}

#[tokio::test]
async fn a_shallow_server_cannot_hide_what_came_in_between() {
    let lab = Lab::new();
    let first = lab.commit(&[("a", "0")], &[], "x", BORN, None);
    let second = lab.commit(&[("a", "1")], &[&first], "x", BORN + 1, None);
    let third = lab.commit(&[("a", "2")], &[&second], "x", BORN + 2, None);
    std::fs::write(lab.origin.dir().join("shallow"), format!("{second}\n")).unwrap();
    let ring = Keyring::default();
    let history = between(&lab, Some(&first), &third, &ring, 100).await;
    assert!(history.missing.is_some(), "{history:?}");
    let history = between(&lab, Some(&second), &third, &ring, 100).await;
    assert_eq!((history.commits.len(), history.missing), (1, None));
    assert!(history.descends);
}
