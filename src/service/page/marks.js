// Marks on a chart what has no values: the warm-up, NULL in the middle, rows that are missing.

/** A colour of the style sheet, so that light and dark have one home. */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim();
}

/** Diagonal stripes, which tell the warm-up from the gaps without any colour. */
function stripes(context, ink) {
  const tile = document.createElement('canvas');
  tile.width = tile.height = 8 * devicePixelRatio;
  const pen = tile.getContext('2d');
  pen.scale(devicePixelRatio, devicePixelRatio);
  pen.strokeStyle = ink;
  pen.beginPath();
  for (const start of [-4, 4, 12]) {
    pen.moveTo(start - 6, 10);
    pen.lineTo(start + 6, -2);
  }
  pen.stroke();
  return context.createPattern(tile, 'repeat');
}

/** Draws the bands of one panel behind its lines. */
export function drawMarks(chart, panel, gaps) {
  const {ctx, bbox, data: [x]} = chart;
  const end = x.length - 1;
  const band = (from, to, fill, edge) => {
    const left = chart.valToPos(x[Math.max(from, 0)], 'x', true);
    const right = chart.valToPos(x[Math.min(to, end)], 'x', true);
    const width = Math.max(right - left, 2 * devicePixelRatio);
    ctx.fillStyle = fill;
    ctx.fillRect(left, bbox.top, width, bbox.height);
    if (!edge) return;
    ctx.fillStyle = edge;
    ctx.fillRect(left, bbox.top, width, 3 * devicePixelRatio);
  };
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  const blank = stripes(ctx, colour('mark-warm'));
  if (panel.first < 0) band(0, end, blank);
  if (panel.first > 0) band(0, panel.first, blank);
  if (panel.first >= 0 && panel.last < end) band(panel.last, end, blank);
  for (const [from, to] of panel.holes) band(from - 1, to + 1, colour('mark-null'), colour('mark-null-edge'));
  for (const [from, to] of gaps) band(from, to, colour('mark-gap'), colour('mark-gap-edge'));
  ctx.restore();
}
