//! Indicators on Ehlers' Hilbert transform.

use crate::entry::{Entry, entry};
use crate::indicator::{Group, Indicator, Memory, Params, Spec, bounded_real};
use crate::kernel::{CyclePhase, CycleTrend, HilbertTransform, PhaseAverage};
use serde::{Deserialize, Serialize};

pub(crate) static INDICATORS: &[Entry] = &[
    entry::<Mama, 1, 2>(),
    entry::<HtTrendline, 1, 1>(),
    entry::<HtDcperiod, 1, 1>(),
    entry::<HtDcphase, 1, 1>(),
    entry::<HtPhasor, 1, 2>(),
    entry::<HtSine, 1, 2>(),
    entry::<HtTrendmode, 1, 1>(),
];

/// Rows before the transform begins in functions that read the period at once.
const SHORT_WAIT: usize = 12;

/// Rows before it begins in functions that read prices of a whole period.
const LONG_WAIT: usize = 37;

/// Rows after which the start no longer shows: an estimate, since the weights depend on the data.
const WARMUP: usize = 1000;

const SOURCE: &str = "Ehlers 2001; TA-Lib";

const fn cycle_spec(name: &'static str, title: &'static str) -> Spec {
    Spec::new(name, title, Group::Cycle).memory(Memory::Recursive)
}

#[derive(Debug, Serialize, Deserialize)]
struct Mama(PhaseAverage);

impl Indicator<1, 2> for Mama {
    const SPEC: Spec = Spec::new("mama", "MESA adaptive moving average", Group::Overlap)
        .doc(
            "An exponential average whose weight is fastlimit over the turn of the cycle's \
             phase in degrees, between slowlimit and fastlimit (mama), and one of that with \
             half the weight (fama).",
            "Ehlers 2001; TA-Lib MAMA",
        )
        .params(&[
            bounded_real("fastlimit", 0.5, 0.01, 0.99),
            bounded_real("slowlimit", 0.05, 0.01, 0.99),
        ])
        .outputs(&["mama", "fama"])
        .memory(Memory::Recursive)
        .late_example(
            6,
            &[0.5, 0.05],
            &[
                &[11.56767, 11.53384, 11.50714, 11.50357, 11.55339, 11.5267, 11.55036, 11.62284],
                &[11.30285, 11.3606, 11.36426, 11.39909, 11.40295, 11.43388, 11.4368, 11.44145],
            ],
        );

    fn lookback(_: &Params) -> usize {
        PhaseAverage::LOOKBACK
    }

    fn warmup(params: &Params) -> usize {
        PhaseAverage::warmup_over(params.real(1))
    }

    fn new(params: &Params) -> Self {
        Mama(PhaseAverage::new(params.real(0), params.real(1)))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 2] {
        self.0.next_averages(value)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct HtTrendline {
    transform: HilbertTransform,
    trend: CycleTrend,
}

impl Indicator<1, 1> for HtTrendline {
    const SPEC: Spec = Spec::new("ht_trendline", "Hilbert transform: trend line", Group::Overlap)
        .doc(
            "The mean over the rows of the dominant cycle, smoothed over four rows with \
             weights 4, 3, 2, 1.",
            SOURCE,
        )
        .memory(Memory::Recursive)
        .late_example(
            9,
            &[],
            &[&[11.73842, 11.71737, 11.65684, 11.63316, 11.66257, 11.67147, 11.6929, 11.69428]],
        );

    fn lookback(_: &Params) -> usize {
        63
    }

    fn warmup(_: &Params) -> usize {
        WARMUP
    }

    fn new(_: &Params) -> Self {
        HtTrendline { transform: HilbertTransform::new(LONG_WAIT), trend: CycleTrend::default() }
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        self.trend.push_price(value);
        [match self.transform.next_phasor(value) {
            Some(_) => self.trend.next_trend(self.transform.cycle_period()),
            None => f64::NAN,
        }]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct HtDcperiod(HilbertTransform);

impl Indicator<1, 1> for HtDcperiod {
    const SPEC: Spec = cycle_spec("ht_dcperiod", "Hilbert transform: period of the dominant cycle")
        .doc("The rows of the dominant cycle, from 6 to 50, smoothed.", SOURCE)
        .late_example(
            6,
            &[],
            &[&[18.83733, 18.33858, 17.81157, 17.40748, 16.77547, 16.01461, 15.18967, 14.47935]],
        );

    fn lookback(_: &Params) -> usize {
        32
    }

    fn warmup(_: &Params) -> usize {
        WARMUP
    }

    fn new(_: &Params) -> Self {
        HtDcperiod(HilbertTransform::new(SHORT_WAIT))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        self.0.next_phasor(value);
        [self.0.cycle_period()]
    }
}

/// The transform together with the phase of the cycle.
#[derive(Debug, Serialize, Deserialize)]
struct PhasedTransform {
    transform: HilbertTransform,
    phase: CyclePhase,
}

impl PhasedTransform {
    fn new() -> Self {
        PhasedTransform {
            transform: HilbertTransform::new(LONG_WAIT),
            phase: CyclePhase::default(),
        }
    }

    /// Returns the smoothed price and the phase; None until the transform begins.
    fn next_phase(&mut self, value: f64) -> Option<[f64; 2]> {
        let price = self.transform.next_phasor(value)?.price;
        Some([price, self.phase.next_phase(price, self.transform.cycle_period())])
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct HtDcphase(PhasedTransform);

impl Indicator<1, 1> for HtDcphase {
    const SPEC: Spec = cycle_spec("ht_dcphase", "Hilbert transform: phase of the dominant cycle")
        .doc("The phase of the dominant cycle in degrees, from -45 to 315.", SOURCE)
        .late_example(
            9,
            &[],
            &[&[102.08387, 139.49921, 247.40322, 273.82959, -43.84708, 41.4774, 83.4, -30.43929]],
        );

    fn lookback(_: &Params) -> usize {
        63
    }

    fn warmup(_: &Params) -> usize {
        WARMUP
    }

    fn new(_: &Params) -> Self {
        HtDcphase(PhasedTransform::new())
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        [self.0.next_phase(value).map_or(f64::NAN, |[_, phase]| phase)]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct HtPhasor(HilbertTransform);

impl Indicator<1, 2> for HtPhasor {
    const SPEC: Spec = cycle_spec("ht_phasor", "Hilbert transform: phasor")
        .doc(
            "The part of the detrended price in phase with the dominant cycle (inphase), and \
             the part a quarter of its period behind (quadrature).",
            SOURCE,
        )
        .outputs(&["inphase", "quadrature"])
        .late_example(
            6,
            &[],
            &[
                &[-0.47673, 0.67072, 0.6901, 0.18946, 0.72423, -0.36262, -0.91508, -0.42884],
                &[1.45786, 1.63304, -0.48389, -0.04037, -0.75692, -1.78683, -0.00498, 0.44473],
            ],
        );

    fn lookback(_: &Params) -> usize {
        32
    }

    fn warmup(_: &Params) -> usize {
        WARMUP
    }

    fn new(_: &Params) -> Self {
        HtPhasor(HilbertTransform::new(SHORT_WAIT))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 2] {
        self.0.next_phasor(value).map_or([f64::NAN; 2], |row| [row.in_phase, row.quadrature])
    }
}

/// Returns the sine of a phase in degrees, and that of 45 degrees later.
fn phase_sines(phase: f64) -> [f64; 2] {
    [phase.to_radians().sin(), (phase + 45.0).to_radians().sin()]
}

#[derive(Debug, Serialize, Deserialize)]
struct HtSine(PhasedTransform);

impl Indicator<1, 2> for HtSine {
    const SPEC: Spec = cycle_spec("ht_sine", "Hilbert transform: sine wave")
        .doc(
            "The sine of the phase of the dominant cycle (sine), and that of a phase 45 \
             degrees later (leadsine).",
            SOURCE,
        )
        .outputs(&["sine", "leadsine"])
        .late_example(
            9,
            &[],
            &[
                &[0.97784, 0.64946, -0.92323, -0.99777, -0.69274, 0.66232, 0.99337, -0.50663],
                &[0.54341, -0.07845, -0.92452, -0.6583, 0.02012, 0.99811, 0.78369, 0.25141],
            ],
        );

    fn lookback(_: &Params) -> usize {
        63
    }

    fn warmup(_: &Params) -> usize {
        WARMUP
    }

    fn new(_: &Params) -> Self {
        HtSine(PhasedTransform::new())
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 2] {
        self.0.next_phase(value).map_or([f64::NAN; 2], |[_, phase]| phase_sines(phase))
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct HtTrendmode {
    phased: PhasedTransform,
    trend: CycleTrend,
    sines: [f64; 2],
    phase: f64,
    /// Rows since the sines crossed.
    since: f64,
}

impl Indicator<1, 1> for HtTrendmode {
    const SPEC: Spec = cycle_spec("ht_trendmode", "Hilbert transform: trend or cycle")
        .doc(
            "0 in a cycle: for half its period after sine and leadsine cross, and while the \
             phase turns as fast as its period says; else 1. It is also 1 where the price is \
             1.5 percent off the trend line.",
            SOURCE,
        )
        .outputs(&["integer"])
        .integers(&["integer"])
        .late_example(9, &[], &[&[0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0]]);

    fn lookback(_: &Params) -> usize {
        63
    }

    fn warmup(_: &Params) -> usize {
        WARMUP
    }

    fn new(_: &Params) -> Self {
        HtTrendmode {
            phased: PhasedTransform::new(),
            trend: CycleTrend::default(),
            sines: [0.0; 2],
            phase: 0.0,
            since: 0.0,
        }
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        self.trend.push_price(value);
        let Some([price, phase]) = self.phased.next_phase(value) else { return [f64::NAN] };
        let period = self.phased.transform.cycle_period();
        let trend = self.trend.next_trend(period);
        let turn = phase - std::mem::replace(&mut self.phase, phase);
        let [sine, lead] = phase_sines(phase);
        let [before_sine, before_lead] = std::mem::replace(&mut self.sines, [sine, lead]);
        let crossed =
            sine > lead && before_sine <= before_lead || sine < lead && before_sine >= before_lead;
        self.since = if crossed { 1.0 } else { self.since + 1.0 };
        let even_turn = 360.0 / period;
        let cycles = crossed
            || self.since < 0.5 * period
            || turn > 0.67 * even_turn && turn < 1.5 * even_turn;
        let far = trend != 0.0 && ((price - trend) / trend).abs() >= 0.015;
        [if far || !cycles { 1.0 } else { 0.0 }]
    }
}
