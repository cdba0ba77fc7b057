"""Operations on labels: new labels from old ones, colours."""
