//! How far back a value reaches, and which rows count on the way.
//!
//! A history is never too short. Steps in the rows of one relation with one set of keys add up to one
//! step, and where one of the two counts valid rows only, so does their sum: a row is valid for a step
//! if it is valid for every call in it, so n such rows reach at least as far as n rows that one call
//! counts. Rows of other groups, of another relation, or behind another filter lie elsewhere in time,
//! so their steps stay apart.

/// Which rows a step counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Rows with a value in every input: indicators skip all others.
    Valid,
    /// Every row.
    Every,
}

/// One step back: from a row to those before it in its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// How many rows. 0 is a step aside: to all rows of the same keys, one of which is the time.
    pub rows: usize,
    /// Which rows count.
    pub counted: Counted,
    /// What makes rows a group: columns of the source by their names there, other expressions by
    /// their text. In alphabetical order.
    pub keys: Vec<String>,
    /// What takes rows away before they are counted, first things first: conditions, joins, and
    /// groupings, which make one row of several.
    pub filters: Vec<String>,
    /// The tables whose rows are counted; a join counts rows of both.
    pub tables: Vec<String>,
}

impl Reach {
    /// Whether both count in the same rows, though maybe not the same of them.
    fn same_rows(&self, other: &Reach) -> bool {
        self.keys == other.keys && self.filters == other.filters && self.tables == other.tables
    }

    fn alike(&self, other: &Reach) -> bool {
        self.counted == other.counted && self.same_rows(other)
    }

    /// Takes this step behind those of a way.
    fn follow(self, way: &mut Vec<Reach>) {
        match way.last_mut() {
            Some(last) if last.same_rows(&self) => {
                last.rows = last.rows.saturating_add(self.rows);
                if self.counted == Counted::Valid {
                    last.counted = Counted::Valid;
                }
            }
            _ => way.push(self),
        }
    }
}

/// How much history a value depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum History {
    /// Rows before its own. Every list is one way back, and the ways lie side by side: the last step
    /// starts at the own row, the one before it at every row that the last one reached. No way is the
    /// own row alone.
    Rows(Vec<Vec<Reach>>),
    /// Everything from the first row on, or what is not understood.
    All,
}

impl History {
    /// Nothing but the own row.
    pub(super) const OWN_ROW: History = History::Rows(Vec::new());

    /// One step back.
    pub(super) fn step(step: Reach) -> History {
        History::Rows(vec![vec![step]])
    }

    /// The rows of the longest way, whichever rows they are; None for all.
    pub fn rows(&self) -> Option<usize> {
        let History::Rows(ways) = self else { return None };
        let sums = ways.iter().map(|way| {
            let rows = way.iter().map(|step| step.rows);
            rows.fold(0, usize::saturating_add)
        });
        Some(sums.max().unwrap_or(0))
    }

    /// All ways as one: taken one after the other, the last one first, these steps reach every row that
    /// the value depends on. Empty for the own row alone, and for all.
    pub fn steps(&self) -> Vec<Reach> {
        let mut steps: Vec<Reach> = Vec::new();
        let History::Rows(ways) = self else { return steps };
        // Steps aside from the own row alone lead to no earlier one.
        for way in ways.iter().filter(|way| way.iter().any(|step| step.rows > 0)) {
            let mut from = 0;
            for step in way {
                let mut rest = steps.iter_mut().enumerate().skip(from);
                match rest.find(|(_, known)| known.alike(step)) {
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
    pub(super) fn beside(self, other: &History) -> History {
        let (History::Rows(mut ways), History::Rows(others)) = (self, other) else {
            return History::All;
        };
        for way in others {
            if !ways.iter().any(|known| covers(known, way)) {
                ways.retain(|known| !covers(way, known));
                ways.push(way.clone());
            }
        }
        History::Rows(ways)
    }

    /// The history of a window over values that have this history.
    pub(super) fn under(self, window: History) -> History {
        let (History::Rows(mut ways), History::Rows(own)) = (self, window) else {
            return History::All;
        };
        for step in own.into_iter().flatten() {
            if ways.is_empty() {
                ways.push(Vec::new());
            }
            for way in &mut ways {
                step.clone().follow(way);
            }
            ways.retain(|way| !way.is_empty());
        }
        History::OWN_ROW.beside(&History::Rows(ways))
    }
}

/// Whether one way takes the steps of another, none of them shorter.
fn covers(one: &[Reach], other: &[Reach]) -> bool {
    let longer = |(one, other): (&Reach, &Reach)| one.alike(other) && one.rows >= other.rows;
    one.len() == other.len() && one.iter().zip(other).all(longer)
}
