//! Functions of the catalogue that are not compared as window functions.

/// Functions of the catalogue that do not exist yet. The list may only shrink.
pub const FUNCTIONS: &[&str] = &[];

/// Element-wise functions, which are scalar functions of SQL and no window functions.
pub const SCALARS: &[&str] = &[
    "acos", "asin", "atan", "ceil", "cos", "cosh", "exp", "floor", "ln", "log10", "sin", "sinh",
    "sqrt", "tan", "tanh", "add", "sub", "mult", "div",
];
