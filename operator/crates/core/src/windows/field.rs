//! One field of a line of cron: `*`, numbers, names, ranges, steps and lists, as a set of bits.
//!
//! What reads in two ways is refused with what to write instead, rather than given a meaning: a window that opens at an
//! hour nobody meant is found out too late.

use super::shown;

/// Which field: its name for people, its bounds and its names.
pub(super) struct Field {
    pub(super) name: &'static str,
    low: u8,
    high: u8,
    /// Three letters each; the first stands for `low`.
    names: &'static [&'static str],
}

pub(super) const MINUTE: Field = Field {
    name: "minute",
    low: 0,
    high: 59,
    names: &[],
};

pub(super) const HOUR: Field = Field {
    name: "hour",
    low: 0,
    high: 23,
    names: &[],
};

pub(super) const DAY: Field = Field {
    name: "day of month",
    low: 1,
    high: 31,
    names: &[],
};

pub(super) const MONTH: Field = Field {
    name: "month",
    low: 1,
    high: 12,
    names: &[
        "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
    ],
};

/// 7 is Sunday, as 0 is; in the set only bit 0 is used for it.
pub(super) const WEEKDAY: Field = Field {
    name: "day of week",
    low: 0,
    high: 7,
    names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
};

impl Field {
    /// The values that a text stands for, one bit each.
    pub(super) fn read(&self, text: &str) -> Result<u64, String> {
        let mut set = 0_u64;
        for item in text.split(',') {
            if item.is_empty() {
                return Err(format!("{} `{text}` has an empty place in its list", self.name));
            }
            set |= self.item(item)?;
        }
        if self.is_weekday() && set & 1 << 7 != 0 {
            set = set & !(1 << 7) | 1;
        }
        Ok(set)
    }

    fn item(&self, item: &str) -> Result<u64, String> {
        let (range, step) = match item.split_once('/') {
            None => (item, None),
            Some((range, step)) => (range, Some(step)),
        };
        let (from, to) = self.range(range, step)?;
        let step = match step {
            None => 1,
            Some(step) => self.step(item, step, to - from)?,
        };
        Ok((from..=to).step_by(step).fold(0, |set, value| set | 1 << value))
    }

    fn range(&self, range: &str, step: Option<&str>) -> Result<(u8, u8), String> {
        if range == "*" {
            return Ok((self.low, self.last()));
        }
        let Some((from, to)) = range.split_once('-') else {
            let value = self.value(range)?;
            return match step {
                None => Ok((value, value)),
                Some(step) => Err(format!(
                    "a step needs a range to go through; write {value}-{}/{step} in place of {} `{range}/{step}`",
                    self.last(),
                    self.name
                )),
            };
        };
        let (from, mut to) = (self.value(from)?, self.value(to)?);
        if self.is_weekday() && to == 0 && from > 0 {
            to = 7;
        }
        if from > to {
            return Err(format!(
                "{} `{range}` runs backwards; write it as two ranges, {from}-{} and {}-{to}",
                self.name,
                self.last(),
                self.low
            ));
        }
        Ok((from, to))
    }

    fn step(&self, item: &str, step: &str, longest: u8) -> Result<usize, String> {
        let number = step.parse::<u8>().ok().filter(|_| digits(step));
        match number {
            Some(0) => Err(format!("{} `{item}` has a step of 0; write 1 or more", self.name)),
            Some(number) if number <= longest => Ok(usize::from(number)),
            None if !digits(step) => Err(format!(
                "{} `{item}` has a step that is not a number; write for example */{}",
                self.name,
                longest.clamp(1, 2)
            )),
            _ => Err(format!(
                "{} `{item}` has a step past its range of {}, and so would count once only; write the {}s out",
                self.name,
                longest + 1,
                self.name.split(' ').next().unwrap_or_default()
            )),
        }
    }

    fn value(&self, text: &str) -> Result<u8, String> {
        if digits(text) {
            return match text.parse::<u64>() {
                Ok(value) if value < u64::from(self.low) => Err(self.out_of_bounds(text, "below", self.low)),
                Ok(value) if value <= u64::from(self.high) => {
                    u8::try_from(value).map_err(|_| self.out_of_bounds(text, "past", self.high))
                }
                _ => Err(self.out_of_bounds(text, "past", self.high)),
            };
        }
        let named = |letters: &str| {
            let place = self.names.iter().position(|n| n.eq_ignore_ascii_case(letters))?;
            Some((u8::try_from(place).ok()? + self.low, self.names.get(place)?))
        };
        if let Some((value, _)) = named(text) {
            return Ok(value);
        }
        let hint = match text.get(..3).and_then(named) {
            Some((_, name)) => format!("write {name}"),
            None if text == "?" => "write *".to_owned(),
            None if text.is_empty() => format!("write {} on both sides of the -", self.allowed()),
            None if text.contains(['L', 'W', '#', 'l', 'w']) => {
                format!("write {}; L, W and # are not known here", self.allowed())
            }
            None => format!("write {}", self.allowed()),
        };
        let article = if self.name.starts_with('h') { "an" } else { "a" };
        Err(format!(
            "`{}` is not {article} {}; {hint}",
            shown(text),
            self.name
        ))
    }

    fn out_of_bounds(&self, text: &str, side: &str, bound: u8) -> String {
        format!(
            "{} {} is {side} {bound}; write {}",
            self.name,
            shown(text),
            self.allowed()
        )
    }

    fn allowed(&self) -> String {
        let Self { low, high, names, .. } = self;
        match (names.first(), names.last()) {
            (Some(first), Some(last)) if self.is_weekday() => {
                format!("{low} to {high} (0 and 7 are Sunday) or {first} to {last}")
            }
            (Some(first), Some(last)) => format!("{low} to {high} or {first} to {last}"),
            _ => format!("{low} to {high}"),
        }
    }

    /// What `*` stands for.
    pub(super) fn whole(&self) -> String {
        format!("{}-{}", self.low, self.last())
    }

    /// The highest value that is not another name of the lowest.
    fn last(&self) -> u8 {
        self.high - u8::from(self.is_weekday())
    }

    fn is_weekday(&self) -> bool {
        self.high == 7
    }
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}
