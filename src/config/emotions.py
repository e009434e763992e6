"""As emoções que Luna lê, na ordem do vetor que o roteamento emocional recebe."""

EMOTIONS = ("alegria", "tristeza", "raiva", "medo", "surpresa", "nojo")
NEUTRAL = "neutro"
EMOTION_DIM = len(EMOTIONS)
