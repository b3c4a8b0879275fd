//! Ehlers' Hilbert transform: the period and the phase of the cycle in a series.

use serde::{Deserialize, Serialize};

/// Rows that the longest cycle has.
const LONGEST: usize = 50;

/// The newest rows of a signal, the newest first.
type Taps = [f64; 7];

/// Adds the newest row.
#[inline]
fn push_tap(taps: &mut Taps, value: f64) {
    taps.copy_within(0..6, 1);
    taps[0] = value;
}

/// Returns the quadrature of a signal, which its period scales.
#[inline]
fn quadrature(taps: &Taps, scale: f64) -> f64 {
    const OUTER: f64 = 0.0962;
    const INNER: f64 = 0.5769;
    ((OUTER * taps[0] - OUTER * taps[6]) - INNER * taps[4] + INNER * taps[2]) * scale
}

/// Keeps the value before where the new one is not finite: one bad row must not poison those after it.
#[inline]
fn keep_finite(target: &mut f64, value: f64) {
    if value.is_finite() {
        *target = value;
    }
}

/// One row of the transform.
#[derive(Clone, Copy, Debug)]
pub struct CyclePhasor {
    /// The smoothed price.
    pub price: f64,
    /// The part in phase.
    pub in_phase: f64,
    /// The part a quarter of the period behind.
    pub quadrature: f64,
}

/// The transform, and the period that it finds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HilbertTransform {
    prices: [f64; 4],
    smooth: Taps,
    detrended: Taps,
    in_phase: Taps,
    quadrature: Taps,
    phasor: [f64; 2],
    real: f64,
    imaginary: f64,
    period: f64,
    smooth_period: f64,
    missing: usize,
}

impl HilbertTransform {
    /// Creates the transform, which begins after `wait` rows.
    pub fn new(wait: usize) -> Self {
        HilbertTransform {
            prices: [0.0; 4],
            smooth: [0.0; 7],
            detrended: [0.0; 7],
            in_phase: [0.0; 7],
            quadrature: [0.0; 7],
            phasor: [0.0; 2],
            real: 0.0,
            imaginary: 0.0,
            period: 0.0,
            smooth_period: 0.0,
            missing: wait,
        }
    }

    /// Returns the period of the cycle in rows, smoothed.
    pub fn cycle_period(&self) -> f64 {
        self.smooth_period
    }

    /// Takes a price; None until the transform begins.
    pub fn next_phasor(&mut self, price: f64) -> Option<CyclePhasor> {
        self.prices.copy_within(0..3, 1);
        self.prices[0] = price;
        if self.missing > 0 {
            self.missing -= 1;
            return None;
        }
        let [one, two, three, four] = self.prices;
        let smooth = (4.0 * one + 3.0 * two + 2.0 * three + four) * 0.1;
        let scale = 0.075 * self.period + 0.54;
        push_tap(&mut self.smooth, smooth);
        push_tap(&mut self.detrended, quadrature(&self.smooth, scale));
        let (across, along) = (quadrature(&self.detrended, scale), self.detrended[3]);
        push_tap(&mut self.in_phase, along);
        push_tap(&mut self.quadrature, across);
        let ahead = [quadrature(&self.in_phase, scale), quadrature(&self.quadrature, scale)];
        self.find_period(along - ahead[1], across + ahead[0]);
        Some(CyclePhasor { price: smooth, in_phase: along, quadrature: across })
    }

    /// Finds the period from the turn of the phasor since the row before.
    fn find_period(&mut self, along: f64, across: f64) {
        let [before_along, before_across] = self.phasor;
        let along = 0.2 * along + 0.8 * before_along;
        let across = 0.2 * across + 0.8 * before_across;
        let real = along * before_along + across * before_across;
        let imaginary = along * before_across - across * before_along;
        let (real, imaginary) =
            (0.8 * self.real + 0.2 * real, 0.8 * self.imaginary + 0.2 * imaginary);
        keep_finite(&mut self.real, real);
        keep_finite(&mut self.imaginary, imaginary);
        keep_finite(&mut self.phasor[0], along);
        keep_finite(&mut self.phasor[1], across);
        let before = self.period;
        let mut period = before;
        if self.imaginary != 0.0 && self.real != 0.0 {
            period = 360.0 / (self.imaginary / self.real).atan().to_degrees();
        }
        period = period.min(1.5 * before).max(0.67 * before).clamp(6.0, LONGEST as f64);
        self.period = 0.2 * period + 0.8 * before;
        self.smooth_period = 0.33 * self.period + 0.67 * self.smooth_period;
    }
}

/// The phase of the cycle, from the smoothed prices of its last period.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CyclePhase {
    ring: Vec<f64>,
    at: usize,
    phase: f64,
}

impl Default for CyclePhase {
    fn default() -> Self {
        CyclePhase { ring: vec![0.0; LONGEST], at: 0, phase: 0.0 }
    }
}

impl CyclePhase {
    /// Returns the phase in degrees after a smoothed price.
    pub fn next_phase(&mut self, price: f64, period: f64) -> f64 {
        self.ring[self.at] = price;
        let length = (period + 0.5) as usize;
        let (mut real, mut imaginary) = (0.0, 0.0);
        for row in 0..length.min(LONGEST) {
            let angle = row as f64 * std::f64::consts::TAU / length as f64;
            let price = self.ring[(self.at + LONGEST - row) % LONGEST];
            real += angle.sin() * price;
            imaginary += angle.cos() * price;
        }
        self.at = (self.at + 1) % LONGEST;
        let mut phase = self.phase;
        if imaginary != 0.0 {
            phase = (real / imaginary).atan().to_degrees();
        } else if real != 0.0 {
            phase += 90.0_f64.copysign(real);
        }
        phase += 90.0 + 360.0 / period;
        if imaginary < 0.0 {
            phase += 180.0;
        }
        if phase > 315.0 {
            phase -= 360.0;
        }
        keep_finite(&mut self.phase, phase);
        phase
    }
}

/// The mean price over the last period of the cycle, smoothed over four rows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CycleTrend {
    ring: Vec<f64>,
    at: usize,
    means: [f64; 3],
}

impl Default for CycleTrend {
    fn default() -> Self {
        CycleTrend { ring: vec![0.0; LONGEST], at: 0, means: [0.0; 3] }
    }
}

impl CycleTrend {
    /// Takes a price before the transform begins.
    pub fn push_price(&mut self, price: f64) {
        self.at = (self.at + 1) % LONGEST;
        self.ring[self.at] = price;
    }

    /// Returns the trend at the newest price.
    pub fn next_trend(&mut self, period: f64) -> f64 {
        let length = ((period + 0.5) as usize).min(LONGEST);
        let prices = (0..length).map(|row| self.ring[(self.at + LONGEST - row) % LONGEST]);
        let total: f64 = prices.sum();
        let mean = if length > 0 { total / length as f64 } else { 0.0 };
        let [one, two, three] = self.means;
        self.means = [mean, one, two];
        (4.0 * mean + 3.0 * one + 2.0 * two + three) / 10.0
    }
}

/// Ehlers' averages, which adapt to how fast the phase of the cycle turns.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PhaseAverage {
    transform: HilbertTransform,
    phase: f64,
    limits: [f64; 2],
    mama: f64,
    fama: f64,
    missing: usize,
}

impl PhaseAverage {
    /// Rows before the first value.
    pub const LOOKBACK: usize = 32;

    /// Creates averages with weights between two limits.
    pub fn new(fast: f64, slow: f64) -> Self {
        PhaseAverage {
            transform: HilbertTransform::new(12),
            phase: 0.0,
            limits: [fast, slow],
            mama: 0.0,
            fama: 0.0,
            missing: PhaseAverage::LOOKBACK,
        }
    }

    /// Returns an estimate of the rows after which the start no longer shows.
    pub fn warmup_over(slow: f64) -> usize {
        300 + crate::kernel::Smoother::fade_rows(slow / 2.0) * 6 / 5
    }

    /// Returns the average and the one that follows it.
    pub fn next_averages(&mut self, price: f64) -> [f64; 2] {
        if !price.is_finite() {
            return [f64::NAN; 2];
        }
        if let Some(CyclePhasor { in_phase, quadrature, .. }) = self.transform.next_phasor(price) {
            let phase = match in_phase {
                0.0 => 0.0,
                _ => (quadrature / in_phase).atan().to_degrees(),
            };
            let turn = (self.phase - phase).max(1.0);
            keep_finite(&mut self.phase, phase);
            let [fast, slow] = self.limits;
            let weight = if turn > 1.0 { slow.max(fast / turn) } else { fast };
            let mama = weight * price + (1.0 - weight) * self.mama;
            keep_finite(&mut self.mama, mama);
            let fama = 0.5 * weight * self.mama + (1.0 - 0.5 * weight) * self.fama;
            keep_finite(&mut self.fama, fama);
        }
        if self.missing > 0 {
            self.missing -= 1;
            return [f64::NAN; 2];
        }
        [self.mama, self.fama]
    }
}
