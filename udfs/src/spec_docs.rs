//! The documentation of one function for DataFusion, rendered from its [`Spec`].

use datafusion_doc::{DocSection, Documentation};

use crate::indicator::{Group, Param, ParamKind, Spec, display_number};
use crate::kernel::MaType;

/// Returns the documentation that DataFusion reads, for `SHOW FUNCTIONS` and its own pages.
pub(crate) fn function_documentation(spec: &Spec) -> Documentation {
    let section = DocSection { include: true, label: section_label(spec.group), description: None };
    let description = format!("{}. {}", spec.title, spec.doc);
    let mut builder = Documentation::builder(section, description, spec.call_signature());
    for input in spec.inputs {
        builder = builder.with_argument(*input, "a numeric column or expression");
    }
    for param in spec.params {
        builder = builder.with_argument(param.name, describe_param(param));
    }
    builder.build()
}

fn section_label(group: Group) -> &'static str {
    match group {
        Group::CrossSection => "Cross-sectional Functions",
        _ => "Indicators",
    }
}

pub(crate) fn describe_param(param: &Param) -> String {
    let default = display_number(param.default);
    match param.kind {
        ParamKind::Bars => {
            let range = format!("{} to {}", display_number(param.min), display_number(param.max));
            format!("bars, {range}, default {default}")
        }
        ParamKind::Real if param.max >= 3e37 => format!("a number, default {default}"),
        ParamKind::Real => {
            format!(
                "{} to {}, default {default}",
                display_number(param.min),
                display_number(param.max)
            )
        }
        ParamKind::MaType => {
            let name = MaType::from_code(param.default).map_or("", MaType::name);
            format!("moving average by number or name, default {default} {name}")
        }
    }
}
