"""A trained bridge's answers, their scores and costs."""
