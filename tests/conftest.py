"""O que todos os testes dividem: rede cortada, poucas threads e modelos minúsculos."""

import os
import signal
import socket
import sys

os.environ.update(
    HF_HUB_OFFLINE="1",
    TRANSFORMERS_OFFLINE="1",
    HF_DATASETS_OFFLINE="1",
    WANDB_MODE="offline",
    WANDB_SILENT="true",
    TOKENIZERS_PARALLELISM="false",
    OMP_WAIT_POLICY="PASSIVE",
)
os.environ.pop("LUNA_HOME", None)
for missing in filter(None, os.environ.get("LUNA_TEST_WITHOUT", "").split(",")):
    sys.modules[missing] = None  # type: ignore[assignment]  # como se não estivesse instalada

import pytest  # noqa: E402
import torch  # noqa: E402

from src.config.config import Config, ModelConfig  # noqa: E402
from src.models.luna_model import LunaModel  # noqa: E402
from src.models.tokenizer import LunaTokenizer  # noqa: E402

torch.set_num_threads(min(2, torch.get_num_threads()))

SENTENCES = [
    "A água do rio corre devagar até o mar.",
    "Ela disse que não viria, mas veio mesmo assim.",
    "O computador guarda os dados na memória.",
    "Amanhã vamos à feira comprar maçãs, pães e café.",
    "Você já leu o livro que eu lhe emprestei?",
    "A professora explicou a lição de história com calma.",
    "Não há pressa: o trem só parte às dez e meia.",
    "O cão late e o gato dorme no sofá da sala.",
]
DIALOGUES = [
    "Usuário: Oi, tudo bem?\nLuna: Tudo ótimo, e você?\n\n"
    "Usuário: Qual é o seu nome?\nLuna: Sou a Luna.",
    "Usuário: O que é água?\nLuna: É um líquido que corre no rio.",
    "Usuário: Que horas parte o trem?\nLuna: O trem parte às dez e meia.",
]


class NetworkBlocked(RuntimeError):
    """Um teste tentou sair para a rede."""


def _blocked_connect(self, address):
    if self.family == getattr(socket, "AF_UNIX", None):
        return _real_connect(self, address)
    host = address[0] if isinstance(address, tuple) else address
    if host in ("127.0.0.1", "::1", "localhost"):
        return _real_connect(self, address)
    raise NetworkBlocked(f"conexão a {address!r} bloqueada: os testes rodam sem rede")


_real_connect = socket.socket.connect


@pytest.fixture(autouse=True, scope="session")
def no_network():
    """Nenhum teste fala com outra máquina."""
    socket.socket.connect = _blocked_connect
    yield
    socket.socket.connect = _real_connect


@pytest.fixture(autouse=True, scope="session")
def control_c():
    """Ctrl-C interrompe também quando o pytest roda em segundo plano, onde o shell o desliga."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def config(tmp_path) -> Config:
    """Uma configuração cujas pastas ficam na pasta do teste."""
    config = Config()
    config.paths.models_dir = str(tmp_path / "models")
    config.paths.logs_dir = str(tmp_path / "logs")
    config.paths.personas_file = str(tmp_path / "personas.json")
    config.feedback.path = str(tmp_path / "feedback.jsonl")
    config.tokenizer.vocab_size = 400
    config.chat.max_new_tokens = 12
    config.training.precision = "fp32"  # o mesmo resultado em toda máquina
    return config


@pytest.fixture(scope="session")
def tokenizer() -> LunaTokenizer:
    """Um tokenizador de 400 tokens."""
    config = Config()
    config.tokenizer.vocab_size = 400
    return LunaTokenizer(config).train(SENTENCES * 3)


def tiny_config(tokenizer: LunaTokenizer | None = None, **changes) -> ModelConfig:
    """Uma ModelConfig minúscula."""
    values = {"vocab_size": 300, "n_positions": 64, "n_embd": 32, "n_layer": 3, "n_head": 4}
    values |= {"state_size": 16, "bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 2}
    if tokenizer is not None:
        eos = tokenizer.eos_id
        values |= {"vocab_size": tokenizer.get_vocab_size(), "bos_token_id": eos}
        values |= {"eos_token_id": eos, "pad_token_id": tokenizer.pad_id}
    return ModelConfig(**(values | changes))


def make_model(config: ModelConfig, seed: int = 0, noise: float = 0.1) -> LunaModel:
    """Um modelo cujos pesos foram sacudidos, para que nenhum componente seja nulo por acaso."""
    torch.manual_seed(seed)
    model = LunaModel.from_scratch(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() >= 2:
                parameter.add_(torch.randn_like(parameter) * noise)
    return model


@pytest.fixture
def saved_model(config, tokenizer):
    """O nome de um modelo híbrido minúsculo, salvo em ``config.paths.models_dir``."""
    folder = config.paths.model_dir("Teste")
    torch.manual_seed(0)
    config.model = tiny_config(tokenizer, use_state_space=True, use_moe=True)
    LunaModel.from_scratch(config.model).save(folder)
    tokenizer.save(folder / "tokenizer")
    return "Teste"
