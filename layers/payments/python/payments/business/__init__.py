"""What is sold: one module per service type. Each prices what the client asks for and says what it refuses."""
