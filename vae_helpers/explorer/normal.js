// The standard normal distribution, the prior of one latent variable.

// φ(z)
export function normalDensity(z) {
  return Math.exp(-0.5 * z * z) / Math.sqrt(2 * Math.PI);
}

// Φ(z). Near 0 the series z + z³/3 + z⁵/(3·5) + … (Marsaglia 2004) times φ(z), whose terms all
// have one sign; in the tails the continued fraction 1/(z + 1/(z + 2/(z + 3/(z + …)))) times φ(z).
export function normalCdf(z) {
  if (Math.abs(z) > 5) {
    const far = Math.abs(z);
    let fraction = far;
    for (let k = 40; k >= 1; k -= 1) fraction = far + k / fraction;
    const tail = normalDensity(far) / fraction;
    return z < 0 ? tail : 1 - tail;
  }
  let term = z;
  let sum = z;
  for (let k = 3; Math.abs(term) > 1e-17; k += 2) {
    term *= (z * z) / k;
    sum += term;
  }
  return 0.5 + sum * normalDensity(z);
}

// Φ⁻¹(u) for 0 < u < 1. Left of 0 Φ is convex, so Newton's steps from 0 come down to the root and
// never pass it.
export function normalQuantile(u) {
  if (!(u > 0 && u < 1)) return u === 0 ? -Infinity : u === 1 ? Infinity : NaN;
  if (u > 0.5) return -normalQuantile(1 - u);
  let z = 0;
  for (let i = 0; i < 100; i += 1) {
    const step = (normalCdf(z) - u) / normalDensity(z);
    z -= step;
    if (Math.abs(step) < 1e-12) break;
  }
  return z;
}

// One draw from N(0, 1) (Box and Muller 1958).
export function normalDraw(random = Math.random) {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}
