"""What users do from the first command to the result, as scripts; tests run them, too."""
