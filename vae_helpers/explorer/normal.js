// The standard normal distribution, the prior of one latent variable.

// φ(z)
export function normalDensity(z) {
  return Math.exp(-0.5 * z * z) / Math.sqrt(2 * Math.PI);
}

// One draw from N(0, 1) (Box and Muller 1958).
export function normalDraw(random = Math.random) {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}
