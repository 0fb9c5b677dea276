"""What every family and every use case shares; knows neither."""
