//! Chooses where ranges of entities begin.

use std::collections::BTreeMap;

/// Cuts symbols into `parts` ranges of about equal rows, and returns the first symbol of each range
/// except the first. If there are too few symbols, ranges behind the last one stay empty.
pub fn choose_split_points(counts: &BTreeMap<String, u64>, parts: usize) -> Vec<String> {
    let total: u64 = counts.values().sum();
    let mut splits = Vec::new();
    let mut before = 0;
    for (symbol, count) in counts {
        let due = total * (splits.len() as u64 + 1) / parts as u64;
        if before > 0 && before + count / 2 >= due && splits.len() + 1 < parts {
            splits.push(symbol.clone());
        }
        before += count;
    }
    let last = counts.keys().next_back().map(String::as_str);
    pad_split_points(&mut splits, last.unwrap_or_default(), parts);
    splits
}

/// Adds splits behind the last entity until there are `parts` ranges.
pub(crate) fn pad_split_points(splits: &mut Vec<String>, last: &str, parts: usize) {
    let mut beyond = last.to_string();
    while splits.len() + 1 < parts {
        beyond.push(char::MAX);
        splits.push(beyond.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_about_equal_rows() {
        let cases = [
            ("A10 B10 C10 D10", "B C D"),
            ("A100 B1 C1 D1", "B C D"),
            ("A1 B1 C1 D1 E1 F1 G1 H1", "C E G"),
            ("A1 B9", "B B\u{10ffff} B\u{10ffff}\u{10ffff}"),
        ];
        for (counts, expected) in cases {
            let count = |text: &str| (text[..1].to_string(), text[1..].parse().unwrap());
            let counts = counts.split(' ').map(count).collect();
            assert_eq!(choose_split_points(&counts, 4).join(" "), expected);
        }
        assert!(choose_split_points(&BTreeMap::new(), 4).is_sorted());
    }
}
