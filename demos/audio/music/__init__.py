"""Music: four voices on a grid of sixteenths, in the manner of Bach's chorales."""
