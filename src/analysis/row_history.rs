//! How far back a value reaches, and which rows count on the way.
//!
//! A history is never too short. Steps in the rows of one relation with one set of keys add up to one
//! step, and where one of the two counts valid rows only, so does their sum: a row is valid for a step
//! if it is valid for every call in it, so n such rows reach at least as far as n rows that one call
//! counts. Rows of other groups, of another relation, or behind another filter lie elsewhere in time,
//! so their steps stay apart.

/// Which rows a step counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowCounting {
    /// Rows with a value in every input: indicators skip all others.
    Valid,
    /// Every row.
    Every,
}

/// One step back: from a row to those before it in its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepBack {
    /// How many rows. 0 is a step aside: to all rows of the same keys, one of which is the time.
    pub rows: usize,
    /// Which rows count.
    pub counted: RowCounting,
    /// What makes rows a group: columns of the source by their names there, other expressions by
    /// their text. In alphabetical order.
    pub keys: Vec<String>,
    /// What takes rows away before they are counted, first things first: conditions, joins, and
    /// groupings, which make one row of several.
    pub filters: Vec<String>,
    /// The tables whose rows are counted; a join counts rows of both.
    pub tables: Vec<String>,
}

impl StepBack {
    /// Whether both count in the same rows, though maybe not the same of them.
    fn counts_same_rows(&self, other: &StepBack) -> bool {
        self.keys == other.keys && self.filters == other.filters && self.tables == other.tables
    }

    fn counts_alike(&self, other: &StepBack) -> bool {
        self.counted == other.counted && self.counts_same_rows(other)
    }

    /// Takes this step behind those of a way.
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

/// How much history a value depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowHistory {
    /// Rows before its own. Every list is one way back, and the ways lie side by side: the last step
    /// starts at the own row, the one before it at every row that the last one reached. No way is the
    /// own row alone.
    Rows(Vec<Vec<StepBack>>),
    /// Everything from the first row on, or what is not understood.
    All,
}

impl RowHistory {
    /// Nothing but the own row.
    pub(super) const OWN_ROW: RowHistory = RowHistory::Rows(Vec::new());

    /// One step back.
    pub(super) fn single_step(step: StepBack) -> RowHistory {
        RowHistory::Rows(vec![vec![step]])
    }

    /// The rows of the longest way, whichever rows they are; None for all.
    pub fn longest_way_rows(&self) -> Option<usize> {
        let RowHistory::Rows(ways) = self else { return None };
        let sums = ways.iter().map(|way| {
            let rows = way.iter().map(|step| step.rows);
            rows.fold(0, usize::saturating_add)
        });
        Some(sums.max().unwrap_or(0))
    }

    /// All ways as one: taken one after the other, the last one first, these steps reach every row that
    /// the value depends on. Empty for the own row alone, and for all.
    pub fn merged_steps(&self) -> Vec<StepBack> {
        let mut steps: Vec<StepBack> = Vec::new();
        let RowHistory::Rows(ways) = self else { return steps };
        // Steps aside from the own row alone lead to no earlier one.
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

    /// The history of what is computed from both.
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

    /// The history of a window over values that have this history.
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

/// Whether one way takes the steps of another, none of them shorter.
fn covers_way(one: &[StepBack], other: &[StepBack]) -> bool {
    let longer =
        |(one, other): (&StepBack, &StepBack)| one.counts_alike(other) && one.rows >= other.rows;
    one.len() == other.len() && one.iter().zip(other).all(longer)
}
