use super::*;

const HEADER: &str = "/*\nparams: {fast: 12, slow: 26, lags: [1, 5], none: , up: true}\n\
                      optional: [sector, factor]\n*/\n";

fn set(body: &str) -> FeatureSet {
    FeatureSet::parse("t", "t.sql", &format!("{}{body}", HEADER.replace("none:", "nil:"))).unwrap()
}

fn rendered(body: &str) -> RenderedSql {
    set(body).render(&BTreeMap::new(), &|column| column == "sector").unwrap()
}

#[test]
fn renders() {
    let cases = [
        ("SELECT {{ fast }}", "SELECT 12"),
        ("{% for n in lags %}a{{ n }}, {% endfor %}b", "a1, a5, b"),
        ("{% if has('sector') %}s{% else %}n{% endif %}", "s"),
        ("{% if has('factor') %}f{% else %}n{% endif %}", "n"),
        ("{% if nil %}x{% else %}y{% endif %}", "y"),
        ("{{ up }} {{ lags }} {{ 1.5 }}", "True [1, 5] 1.5"),
        ("-- {{ fast }}\n{# gone #}x", "-- 12\nx"),
        ("{% if up %}{% set y = 1 %}{% else %}{% set y = 2 %}{% endif %}{{ y }}", "1"),
        ("{% set x %}a{% endset %}{{ x == 'a' }}{{ x|length }}", "True1"),
        ("{% macro m(a, b=fast) %} ({{ a }}-{{ b }}) {% endmacro %}{{ m(1)|trim }}", "(1-12)"),
        ("{% with z = slow %}{{ z }}{% endwith %}", "26"),
        (
            "{% set ns = namespace(x=1) %}{% for n in lags %}{% set ns.x = n %}{{ loop.index }}\
             {% endfor %}{{ ns.x }}",
            "125",
        ),
        (
            "{% macro m(a) %}{{ caller(a) }}{% endmacro %}{% call(b) m(7) %}b{{ b }}{% endcall %}",
            "b7",
        ),
        ("{% for k, v in {'a': 1}|items if v > 0 %}{{ k }}{{ v }}{% else %}-{% endfor %}", "a1"),
        ("{{ lags|map('abs')|join('+') }} {{ [1, 2][0] }} {{ fast in lags }}", "1+5 1 False"),
        (
            "{% set a, b = lags %}{{ a + b }} {{ 'y' if up else 'n' }} {{ lags is sequence }}",
            "6 y True",
        ),
        ("{{ 'a' ~ fast }}{{ lags|join(', ') }}", "a121, 5"),
    ];
    for (body, expected) in cases {
        assert_eq!(rendered(body).sql.trim_start(), expected, "{body}");
    }
}

const ERRORS: &[(&str, &str)] = &[
    ("{{ fats }}", "5:4: unknown name fats in the template; did you mean fast?"),
    (
        "a\n  é {{ 'ü' ~ window }}",
        "6:14: unknown name window in the template; parameters: fast, lags, nil, slow, up",
    ),
    (
        "{% if not up %}{{ slwo + 1 }}{% endif %}",
        "5:19: unknown name slwo in the template; did you mean slow?",
    ),
    ("{{ f(1) }}", "5:4: unknown template function f; functions: dict, has, namespace, range"),
    (
        "{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}",
        "5:27: ns.a would hold a namespace; put its values there, such as other.value",
    ),
    (
        "{{ 1 is divisibleby(0) }}",
        "4:3: the template cannot be rendered: attempt to calculate the remainder with a divisor of zero",
    ),
    ("{{ hass('x') }}", "5:4: unknown template function hass; did you mean has?"),
    ("a {{ fast|uper }}", "5:11: unknown filter uper in the template; did you mean upper?"),
    (
        "{{ fast|zz }}",
        "5:9: unknown filter zz in the template; filters are those of jinja, such as join, upper or round",
    ),
    ("{{ fast is zz }}", "5:12: template: test zz is unknown"),
    (
        "{{ has('volume') }}",
        "5:4: has('volume'): volume is not in optional; list it in the header, as in `optional: [volume]`",
    ),
    (
        "{{ nil }}",
        "5:4: an empty value would be written into the SQL; give the parameter a value in the header or with --set",
    ),
    ("{{ fast", "5:4: template syntax: unexpected end of input, expected end of variable block"),
    (
        "{{ fast slow }}",
        "5:9: template syntax: unexpected identifier, expected end of variable block",
    ),
    ("a\n{% if up %}\nb", "6:1: {% if %} is not closed; add {% endif %}"),
    ("{% endif %}", "5:4: template syntax: unknown statement endif"),
    ("{{ lags[9] }}", "5:4: template: lags[9] is undefined"),
    ("{{ 1 / 0 }}", "5:4: template: unable to calculate 1 / 0"),
    (
        "{{ 'a' + 1 }}",
        "5:4: template: tried to use + operator on unsupported types string and number",
    ),
    ("{{ has() }}", "5:4: template: missing argument"),
    (
        "{% include 'x' %}",
        "5:4: a template cannot take in other files; read another feature set by its name: FROM name",
    ),
];

#[test]
fn every_error_has_its_place_and_way_out() {
    for (body, expected) in ERRORS {
        let error = set(body).render(&BTreeMap::new(), &|_| true).unwrap_err();
        assert_eq!(error.to_string(), format!("t.sql:{expected}"), "{body}");
        assert_eq!(error.exit_code(), 1);
    }
}

#[test]
fn filters_that_are_proposed_exist() {
    let environment = template_environment(BTreeMap::new());
    for filter in FILTERS {
        let known = environment.render_str(&format!("{{{{ '{filter}' is filter }}}}"), ());
        assert_eq!(known.unwrap(), "True", "{filter}");
    }
}

/// Checks that every `@` of the rendered text comes from the line and column given.
#[test]
fn the_way_back() {
    let cases: [(&str, &[(usize, usize)]); 17] = [
        ("a @", &[(5, 3)]),
        ("\n\n  é @", &[(7, 5)]),
        ("{{ fast }} @", &[(5, 12)]),
        ("{{ fast }}{{ slow }}@", &[(5, 21)]),
        ("x {{ '@' }}", &[(5, 3)]),
        ("x {{ '%}' ~ '}}@' }} @", &[(5, 3), (5, 22)]),
        (
            "{% for n in lags %}\n  @{{ n }} @{% endfor %} @",
            &[(6, 3), (6, 12), (6, 3), (6, 12), (6, 26)],
        ),
        ("{% if up %}@{% else %}@{% endif %}@", &[(5, 12), (5, 35)]),
        ("a  {{- fast -}}  @ {%- if up %} @{% endif -%}\n @", &[(5, 18), (5, 33), (6, 2)]),
        ("{# @ #}@", &[(5, 8)]),
        ("{% raw %}{{ @ }}{% endraw %} @", &[(5, 13), (5, 30)]),
        ("{% set x %}a\n @{% endset %}\n{{ x }} @", &[(6, 2), (7, 9)]),
        ("{% macro m(a) %}{{ a }} @ {% endmacro %}\n{{ m('@') }} @", &[(5, 17), (5, 25), (6, 14)]),
        ("{% set x %}@{% endset %}{{ x == '@' }} {{ x }} @", &[(5, 40), (5, 48)]),
        ("{% filter upper %}@{% endfilter %}\n@", &[(5, 19), (6, 1)]),
        ("{% for n in\n  lags\n%}@{% endfor %}@", &[(7, 3), (7, 3), (7, 16)]),
        ("a,\r\n  {{ fast }} @\r\n@", &[(6, 14), (7, 1)]),
    ];
    for (body, expected) in cases {
        let rendered = rendered(body);
        let found: Vec<(usize, usize)> = rendered
            .sql
            .match_indices('@')
            .map(|(offset, _)| rendered.place(offset))
            .map(|place| (place.line, place.column))
            .collect();
        assert_eq!(found, expected, "{body} gave {}", rendered.sql);
    }
}

#[test]
fn private_use_characters_stay() {
    let body = "'\u{10fffd}\u{100000}\u{108000}' @";
    let rendered = rendered(body);
    assert_eq!(rendered.sql.trim_start(), body);
}

#[test]
fn lines_and_columns_of_a_parser() {
    let rendered = rendered("SELECT 'é{{ fast }}',\n  {{ slow }}, clos");
    assert_eq!(rendered.sql, "\nSELECT 'é12',\n  26, clos");
    let place = rendered.place_of(3, 7);
    assert_eq!((place.line, place.column), (6, 15));
    let place = rendered.place_of(2, 10);
    assert_eq!((place.line, place.column), (5, 10));
    for (line, column) in [(0, 0), (9, 9), (3, 99)] {
        assert_eq!(rendered.place_of(line, column).file, "t.sql");
    }
    let plain = RenderedSql::from_plain_sql("SQL", "SELECT\n  clos");
    assert_eq!(plain.place_of(2, 3).to_string(), "SQL:2:3");
    assert_eq!(plain.place(9).to_string(), "SQL:2:3");
}

/// Pieces of templates; each `@` is replaced by a unique character.
const PIECES: [&str; 17] = [
    "@",
    " ",
    "\n",
    "\r\n",
    "é'{ ",
    "{{ fast }}",
    "{{- slow -}}",
    "{{+ '}}%}' +}}",
    "{# @ #}",
    "{#- x -#}",
    "{% raw -%} @ {{ @ {%- endraw %}",
    "{% for n in lags %}@ {{ n }}\n{% endfor %}",
    "{%- if up -%} @ {%- else %}@{% endif -%}",
    "{% set x %} @\n @ {% endset %}{{ x|trim }}",
    "{% set x %}@{% endset %}{{ x|length }}{{ x }}",
    "{% macro m(a) %} @{{ a }}@ {% endmacro %}{{ m('') }}{{ m(1)|trim }}",
    "{% filter upper %} @ {% endfilter %}",
];

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_way_back_from_any_template(picks in proptest::collection::vec(0..PIECES.len(), 1..12)) {
        let mut next = 0x4e00_u32..;
        let pieces: String = picks.iter().map(|pick| PIECES[*pick]).collect();
        let body: String = pieces
            .chars()
            .map(|c| if c == '@' { next.next().and_then(char::from_u32).unwrap() } else { c })
            .collect();
        let body = format!("SELECT{body}");
        let rendered = rendered(&body);
        let lines: Vec<&str> = body.split('\n').collect();
        let captured = picks.contains(&14);
        for (offset, c) in rendered.sql.char_indices().filter(|(_, c)| *c >= '\u{4e00}') {
            let place = rendered.place(offset);
            let found = lines[place.line - 5].chars().nth(place.column - 1);
            // If a template measures captured text, places are those of the tag.
            proptest::prop_assert!(found == Some(c) || captured, "{body:?} {place}");
        }
    }
}
