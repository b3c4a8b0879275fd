//! The history of a value: how far back it reaches, and which rows count on the way.
//!
//! A history is never too short. Steps over rows of one relation with the same keys add up to one step. If
//! one of two such steps counts valid rows only, their sum does too: a row is valid for a step if it is valid
//! for every call in it, so n such rows reach at least as far as n rows counted by one call. Rows of other
//! groups, of another relation, or behind another filter lie elsewhere in time, so their steps stay apart.

/// The rows that a step counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowCounting {
    /// Rows with a value in every input; indicators skip all others.
    Valid,
    /// Every row.
    Every,
}

/// One step back: from a row to rows before it in its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepBack {
    /// The number of rows. 0 is a step aside: to all rows with the same keys, one of which is the time.
    pub rows: usize,
    /// The rows that count.
    pub counted: RowCounting,
    /// The keys of the group, in alphabetical order. A column of the source has its name there; any other
    /// expression has its text.
    pub keys: Vec<String>,
    /// The filters that remove rows before the step counts, in the order in which they apply: conditions,
    /// joins, and groupings, which merge several rows into one.
    pub filters: Vec<String>,
    /// The tables whose rows are counted; a join counts the rows of both sides.
    pub tables: Vec<String>,
}

impl StepBack {
    /// Returns whether both steps have the same keys, filters and tables. [`RowCounting`] may differ.
    fn counts_same_rows(&self, other: &StepBack) -> bool {
        self.keys == other.keys && self.filters == other.filters && self.tables == other.tables
    }

    fn counts_alike(&self, other: &StepBack) -> bool {
        self.counted == other.counted && self.counts_same_rows(other)
    }

    /// Appends this step to a way, or adds it to the last step if both have the same rows.
    fn append_to_way(self, way: &mut Vec<StepBack>) {
        match way.last_mut() {
            Some(last) if last.counts_same_rows(&self) => {
                last.rows = last.rows.saturating_add(self.rows);
                if self.counted == RowCounting::Valid {
                    last.counted = RowCounting::Valid;
                }
            }
            _ => way.push(self),
        }
    }
}

/// The history that a value depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowHistory {
    /// A limited number of rows. Every list is one way back, and the ways are independent of each other. The
    /// last step of a way starts at the value's own row, and each step before it starts at every row that its
    /// successor reached. Without any way, the value depends on its own row alone.
    Rows(Vec<Vec<StepBack>>),
    /// Everything from the first row on. Also the answer where a plan is not understood.
    All,
}

impl RowHistory {
    /// The value's own row and nothing else.
    pub(super) const OWN_ROW: RowHistory = RowHistory::Rows(Vec::new());

    /// Returns a history of one step.
    pub(super) fn single_step(step: StepBack) -> RowHistory {
        RowHistory::Rows(vec![vec![step]])
    }

    /// Returns the number of rows of the longest way, of whichever kind they are; None for
    /// [`RowHistory::All`].
    pub fn longest_way_rows(&self) -> Option<usize> {
        let RowHistory::Rows(ways) = self else { return None };
        let sums = ways.iter().map(|way| {
            let rows = way.iter().map(|step| step.rows);
            rows.fold(0, usize::saturating_add)
        });
        Some(sums.max().unwrap_or(0))
    }

    /// Merges all ways into one. Taken one after the other, from the last to the first, its steps reach every
    /// row that the value depends on. Empty for the own row alone and for [`RowHistory::All`].
    pub fn merged_steps(&self) -> Vec<StepBack> {
        let mut steps: Vec<StepBack> = Vec::new();
        let RowHistory::Rows(ways) = self else { return steps };
        // A way that consists of steps aside only leads to no earlier row.
        for way in ways.iter().filter(|way| way.iter().any(|step| step.rows > 0)) {
            let mut from = 0;
            for step in way {
                let mut rest = steps.iter_mut().enumerate().skip(from);
                match rest.find(|(_, known)| known.counts_alike(step)) {
                    Some((at, known)) => {
                        known.rows = known.rows.max(step.rows);
                        from = at + 1;
                    }
                    None => {
                        steps.insert(from, step.clone());
                        from += 1;
                    }
                }
            }
        }
        steps
    }

    /// Returns the history of a value computed from both.
    pub(super) fn union_history(self, other: &RowHistory) -> RowHistory {
        let (RowHistory::Rows(mut ways), RowHistory::Rows(others)) = (self, other) else {
            return RowHistory::All;
        };
        for way in others {
            if !ways.iter().any(|known| covers_way(known, way)) {
                ways.retain(|known| !covers_way(way, known));
                ways.push(way.clone());
            }
        }
        RowHistory::Rows(ways)
    }

    /// Returns the history of a window over values with this history.
    pub(super) fn compose_history(self, window: RowHistory) -> RowHistory {
        let (RowHistory::Rows(mut ways), RowHistory::Rows(own)) = (self, window) else {
            return RowHistory::All;
        };
        for step in own.into_iter().flatten() {
            if ways.is_empty() {
                ways.push(Vec::new());
            }
            for way in &mut ways {
                step.clone().append_to_way(way);
            }
            ways.retain(|way| !way.is_empty());
        }
        RowHistory::OWN_ROW.union_history(&RowHistory::Rows(ways))
    }
}

/// Returns whether one way has the same steps as another, each at least as long.
fn covers_way(one: &[StepBack], other: &[StepBack]) -> bool {
    let longer =
        |(one, other): (&StepBack, &StepBack)| one.counts_alike(other) && one.rows >= other.rows;
    one.len() == other.len() && one.iter().zip(other).all(longer)
}
