/*
params: {fast: 12, slow: 26, lags: [1, 5], nil: , up: true, name: x, map: {a: {b: 1}}}
optional: [sector, factor]
*/
{% macro m(a, b=fast) -%} ({{ a }} - {{ b }}) {%- endmacro %}SELECT {{ m(1)|trim }}, {% call(b) m(7) %}b{{ b }}{% endcall %} {% filter upper %} x {% endfilter %}{% set x %} y {% endset %}{{ x|length }}