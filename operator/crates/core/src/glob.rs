//! Patterns of guard rails: `*` within one part, `**` across parts, and nothing else. A language this small has no classes,
//! braces or escapes that could mean something else than it seems.

/// Whether one part matches: `*` stands for any text, also none.
pub(crate) fn part(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    matches(&pattern, &text, |p| *p == '*', |p, c| p == c)
}

/// Whether a list of parts matches: `**` stands for any number of parts, also none; at the end for at least one.
pub(crate) fn parts(pattern: &[String], text: &[String]) -> bool {
    let mut pattern = pattern.to_vec();
    if pattern.last().is_some_and(|last| last == "**") {
        pattern.insert(pattern.len() - 1, "*".to_owned());
    }
    matches(&pattern, text, |p| p == "**", |p, t| part(p, t))
}

/// Matches from the left. After a star, what follows is tried at each later place; only the last star needs a second try.
fn matches<P, T>(
    pattern: &[P],
    text: &[T],
    is_star: impl Fn(&P) -> bool,
    one: impl Fn(&P, &T) -> bool,
) -> bool {
    let (mut at, mut seen) = (0, 0);
    let mut again: Option<(usize, usize)> = None;
    while seen < text.len() {
        match pattern.get(at) {
            Some(star) if is_star(star) => {
                again = Some((at + 1, seen));
                at += 1;
            }
            Some(p) if text.get(seen).is_some_and(|t| one(p, t)) => {
                at += 1;
                seen += 1;
            }
            _ => match again {
                Some((after, from)) => {
                    again = Some((after, from + 1));
                    at = after;
                    seen = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(at).all(is_star)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stays_within_its_part() {
        for (pattern, text, is) in [
            ("shop", "shop", true),
            ("shop", "shops", false),
            ("shop-*", "shop-a", true),
            ("shop-*", "shop-", true),
            ("shop-*", "my-shop-a", false),
            ("*-shop-*", "a-b-shop-c-shop-d", true),
            ("*a*b", "aab", true),
            ("*a*b", "aba", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(part(pattern, text), is, "{pattern} {text}");
        }
    }

    #[test]
    fn two_stars_cross_parts() {
        let split = |text: &str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
        for (pattern, text, is) in [
            ("shop/**", "shop/a", true),
            ("shop/**", "shop/a/b", true),
            ("shop/**", "shop", false),
            ("shop/*", "shop/a/b", false),
            ("**/a", "a", true),
            ("**/a", "x/y/a", true),
            ("x/**/a", "x/a", true),
            ("x/**/a/*", "x/a/a/b", true),
            ("**", "a", true),
            ("shop/**", "shopping/a", false),
        ] {
            assert_eq!(parts(&split(pattern), &split(text)), is, "{pattern} {text}");
        }
    }
}
