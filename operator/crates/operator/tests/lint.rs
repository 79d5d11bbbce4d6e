//! `tidegate lint` as a person or a pipeline runs it: what it prints, and its exit code.

#![expect(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

use std::fs;
use std::path::Path;
use std::process::Command;

const GOOD: &str = "apiVersion: tidegate.io/v1alpha1\nkind: ReleasePolicy\nmetadata: {name: good}\nspec: {limits: {maxDeletes: 5}}\n";
const BAD: &str = "apiVersion: tidegate.io/v1alpha1\nkind: ReleasePolicy\nmetadata: {name: bad}\nspec:\n  rules:\n  - {name: few, expression: plan.deletes < 3}\n";

/// Exit code, standard output and standard error.
fn lint(paths: &[&Path]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    let output = command.arg("lint").args(paths).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn the_exit_code_tells_right_from_wrong_from_unreadable() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir_all(at("nested/.hidden")).unwrap();
    fs::write(at("good.yaml"), GOOD).unwrap();
    fs::write(at("nested/good.yml"), GOOD).unwrap();
    fs::write(at("nested/.hidden/bad.yaml"), BAD).unwrap();
    fs::write(at("notes.txt"), "not: [yaml").unwrap();
    let (code, out, err) = lint(&[dir.path()]);
    assert_eq!((code, out.as_str()), (0, ""), "{err}");
    assert_eq!(
        err,
        "2 policies, 0 Applications and 0 other objects of Tidegate in 2 files: nothing is wrong\n"
    );

    fs::write(at("nested/bad.yaml"), BAD).unwrap();
    let (code, out, _) = lint(&[dir.path()]);
    assert_eq!(code, 1);
    let expected = format!(
        "{}:6: ReleasePolicy bad: spec.rules[0].expression: rule few: line 1, column 6: there is no field `deletes`",
        at("nested/bad.yaml").display()
    );
    assert!(out.starts_with(&expected), "{out}");
    assert_eq!(out.lines().count(), 1, "{out}");

    fs::write(at("broken.yaml"), "a: [1\nb: 2\n").unwrap();
    let (code, out, _) = lint(&[dir.path()]);
    assert_eq!(code, 2);
    assert!(
        out.contains("broken.yaml:") && out.contains("bad.yaml:6:"),
        "{out}"
    );

    // A file that is named is read whatever its name is.
    assert_eq!(lint(&[&at("nested/.hidden/bad.yaml")]).0, 1);
    let (code, out, _) = lint(&[&at("missing.yaml"), &at("good.yaml")]);
    assert_eq!(code, 2);
    assert!(out.contains("missing.yaml: cannot be read: "), "{out}");
}
