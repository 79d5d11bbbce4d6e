//! Which texts go-yaml takes for timestamps. It matters only for an explicit `!!timestamp`: the value stays the text.

/// True where one of go-yaml's four formats fits, as `time.Parse` reads them.
pub(crate) fn is_timestamp(text: &str) -> bool {
    date(text).is_some_and(|rest| match rest.as_bytes().first() {
        None => true,
        Some(b'T' | b't') => clock(&rest[1..]).is_some_and(is_zone),
        Some(b' ') => clock(rest.trim_start_matches(' ')).is_some_and(str::is_empty),
        Some(_) => false,
    })
}

fn date(text: &str) -> Option<&str> {
    let year: u32 = text
        .get(..4)
        .filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))?
        .parse()
        .ok()?;
    let (month, rest) = one_or_two(text[4..].strip_prefix('-')?)?;
    let (day, rest) = one_or_two(rest.strip_prefix('-')?)?;
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    (1..=days).contains(&day).then_some(rest)
}

fn clock(text: &str) -> Option<&str> {
    let (hour, rest) = one_or_two(text)?;
    let (minute, rest) = one_or_two(rest.strip_prefix(':')?)?;
    let (second, rest) = one_or_two(rest.strip_prefix(':')?)?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let Some(fraction) = rest.strip_prefix(['.', ',']) else {
        return Some(rest);
    };
    let after = fraction.trim_start_matches(|character: char| character.is_ascii_digit());
    Some(if after.len() == fraction.len() {
        rest
    } else {
        after
    })
}

fn is_zone(text: &str) -> bool {
    if text == "Z" {
        return true;
    }
    let Some(offset) = text.strip_prefix(['+', '-']) else {
        return false;
    };
    let number = |part: &str| {
        part.bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| part.parse::<u32>().ok())?
    };
    match (offset.get(..2), offset.get(2..3), offset.get(3..)) {
        (Some(hours), Some(":"), Some(minutes)) if minutes.len() == 2 => {
            number(hours).is_some_and(|hours| hours <= 24)
                && number(minutes).is_some_and(|minutes| minutes <= 60)
        }
        _ => false,
    }
}

fn one_or_two(text: &str) -> Option<(u32, &str)> {
    let digits = text.bytes().take(2).take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    Some((number.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::is_timestamp;

    #[test]
    fn the_four_formats_and_nothing_else() {
        for text in [
            "2001-1-2",
            "2001-01-02T3:4:5Z",
            "2001-01-02t03:04:05.5+01:00",
            "2000-02-29 1:2:3",
            "2001-01-02  1:2:3.25",
        ] {
            assert!(is_timestamp(text), "{text}");
        }
        for text in [
            "",
            "2001",
            "2001-02-29",
            "2001-13-1",
            "2001-1-2x",
            "2001-1-2 25:0:0",
            "2001-1-2T1:2:3",
            "é",
            "2001-1-2T1:2:3+é",
        ] {
            assert!(!is_timestamp(text), "{text}");
        }
    }
}
