"""Pictures of garments: the six families on Fashion-MNIST."""
