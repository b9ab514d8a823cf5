import torch

from bridgelab.alignment.masks import bi_directional, uni_modal_and_causal


def test_masks_are_those_of_the_papers_figure():
    """Two queries; a caption of two words and one of padding. Rows read columns."""
    words = torch.tensor([[True, True, False]])
    expected = """
        11 000 000
        11 000 000
        00 110 000
        00 110 000
        00 110 000
        11 000 100
        11 000 110
        11 000 110
    """
    found = ["".join(str(int(x)) for x in row) for row in uni_modal_and_causal(words, 2)[0]]
    assert found == ["".join(line.split()) for line in expected.strip().splitlines()]
    assert bi_directional(words, 2).tolist() == [[True, True, True, True, False]]
